"""Sounds made on the spot, so that everything can be tried without data or a microphone."""
