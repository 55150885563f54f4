"""Pictures, and an evaluation as a page to read in a browser."""
