"""Invented calls of agents with customers whose moods, tones and tastes are planted."""
