"""Continued pretraining: the loop, its engines, checkpoints and curves."""
