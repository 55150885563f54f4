"""Detection in a room, as a new user would meet it; see `__main__`."""
