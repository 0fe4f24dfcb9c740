"""The tables of screening: calls, numbers, voices, reports, and what changed when."""
