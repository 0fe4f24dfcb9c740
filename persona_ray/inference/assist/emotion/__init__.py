"""Emotion of keywords and sentences: by a lexicon, by a model, and both combined."""
