"""Synthetic sounds and scenes, to try everything without data or a microphone."""
