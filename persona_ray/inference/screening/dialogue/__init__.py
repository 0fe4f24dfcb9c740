"""The dialogue set: what callers say and what is answered, and how the nearest of it is found."""
