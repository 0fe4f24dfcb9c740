"""Wiring of each application: which parts run, with which policy."""
