"""Pure decisions with reasons: who a recipient is, and which channel may reach them on a given civil day."""
