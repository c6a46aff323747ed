"""What a patient's documents say together, to those who care for them: treatments, appointments, the team. Pure."""
