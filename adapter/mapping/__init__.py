"""Sources understood: declarative extraction (`/mappings`) and typed construction of envelopes and FHIR documents."""
