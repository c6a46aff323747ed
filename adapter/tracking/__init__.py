"""What a partner's answer means for a delivery: causes, reactions, and what opens next."""
