"""Jobs that a person or the night starts: each can be run again, and stopped at any point."""
