"""Measure clips and their augmented copies: recordings in, feature vectors out."""
