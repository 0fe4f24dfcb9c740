"""`persona-ray doctor`: is everything there that the work needs, and what to do where it is not."""
