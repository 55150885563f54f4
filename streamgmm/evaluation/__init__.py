"""How good a model is on what it has not seen: clips, and events in scenes."""
