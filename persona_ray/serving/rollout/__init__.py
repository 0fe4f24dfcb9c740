"""A challenger beside the champion: shadow traffic, a canary, and the way back."""
