"""The audit trail: what was done, by whom, sealed so that a change shows."""
