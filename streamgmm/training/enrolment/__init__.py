"""Add and remove classes of a trained model, and keep the training cache that makes this possible."""
