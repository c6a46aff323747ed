"""FHIR R4: one function per resource, plain dicts out, the same bytes for the same input. No I/O, no clock."""
