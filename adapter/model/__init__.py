"""The domain's values: immutable, typed, without I/O. Everything else speaks in these."""
