"""Annotations in and out, agreement of annotators, and the one label of each clip."""
