"""A training run on Ray Train or in this process, whatever is trained."""
