"""Trait d'union: the open link between French hospitals and town."""

__version__ = "0.1.0"
