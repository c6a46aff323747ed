"""Bytes to structure and back: no I/O, no mapping, no decision."""
