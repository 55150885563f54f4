"""Pictures of results, and an evaluation as an HTML page."""
