"""A form understood: its questions and conditions, and one builder for each kind of document."""
