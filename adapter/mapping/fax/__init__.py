"""What a received fax means: its document, its words for people. Pure."""
