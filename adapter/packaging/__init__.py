"""What a channel carries, made from the FHIR document and the kept original: CDA, XDM mail, PDF, fax pages, MHD."""
