"""Recordings of what a run detects: their names, the folder with its limits, and their review."""
