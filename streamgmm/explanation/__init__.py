"""Why the model said what it said at one moment of a recording."""
