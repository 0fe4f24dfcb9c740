"""Forgetting persons, keeping nothing longer than configured, and the proof of both."""
