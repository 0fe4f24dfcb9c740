"""Backups of the store and of the registry, and their return."""
