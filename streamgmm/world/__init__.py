"""Short sounds of the world, which a training may take as what it must not confuse with the user's classes."""
