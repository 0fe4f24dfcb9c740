"""Assistance of an agent: what was said and how, which emotion, what to say next."""
