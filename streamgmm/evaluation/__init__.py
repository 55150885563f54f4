"""Evaluation of models on unseen recordings: answers to clips, and events in scenes."""
