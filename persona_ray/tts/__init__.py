"""Text to speech: one protocol, three engines."""
