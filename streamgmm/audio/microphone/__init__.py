"""Microphones: a capture process per interface, and the sources that share it."""
