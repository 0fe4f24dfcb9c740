"""What is personal, sealed at rest: keys outside the database, values and files under them."""
