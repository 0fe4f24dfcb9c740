"""The rooms where work is started: Ray Data, Ray Train, or this process."""
