"""From a call archive to annotated, split clips."""
