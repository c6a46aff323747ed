"""The running service: a supervisor, worker processes, four lanes in each, and an orderly stop."""
