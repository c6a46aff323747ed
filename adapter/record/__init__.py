"""The built-in shared record: an MHD Document Recipient and Responder on the ledger's database (docs/how-to/record.md)."""
