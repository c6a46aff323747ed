"""HL7 v2 messages that we write: business acknowledgements, and documents for local software."""
