"""Fit projection and mixtures to feature vectors."""
