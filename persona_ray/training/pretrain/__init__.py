"""Continued pretraining: a run, its loop, its curve and what its checkpoints hold."""
