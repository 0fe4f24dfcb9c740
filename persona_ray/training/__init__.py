"""Training: loops that know no launcher."""
