"""Formats of recordings: what a file is, where its samples lie, and what its header gets wrong."""
