"""Screening of unknown calls: who gets through, and what the others wanted."""
