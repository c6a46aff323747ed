"""A sandbox for integrators: the real service on loopback, invented cases, keys made for the occasion."""
