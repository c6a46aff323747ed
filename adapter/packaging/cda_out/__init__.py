"""A CDA R2 written from our FHIR document: header, narrative, and entries by model."""
