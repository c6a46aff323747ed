"""Incoming secure mail, read by `mssante`, turned into what the ledger commits (ADR 0011)."""
