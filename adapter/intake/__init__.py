"""Doors: bytes come in, a principal is known, the arrival is made durable, and only then the answer leaves."""
