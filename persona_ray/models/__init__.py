"""Encoders, the bimodal model and the bundle it is kept in."""
