"""The durable truth: one schema on SQLite and PostgreSQL, payloads sealed, every verb one transaction."""
