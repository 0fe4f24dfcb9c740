"""Jobs of assistance: the models that it is given by, trained and judged."""
