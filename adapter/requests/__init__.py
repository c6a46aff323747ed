"""The life of a request: append-only steps, and the FHIR Task that they amount to."""
