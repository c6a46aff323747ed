"""A document as a person reads it: words, narrative, tables, and their places on A4."""
