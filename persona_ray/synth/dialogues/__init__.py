"""Invented telephone dialogues over all categories of screening, to train and test with."""
