"""An HL7 v2 message understood: envelope, identity, the documents that it carries, and the checks of the volets."""
