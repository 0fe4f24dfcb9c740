"""Sweeps: many fine-tunings of one corpus, their trials on Ray Tune, their results."""
