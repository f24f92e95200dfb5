"""Statistics: how things stand, and what the log comes to."""
