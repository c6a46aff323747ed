"""The web application: who calls, health and figures; doors and the interface for people hang their routes on it."""
