"""Decisions that keep false alarms within a budget on the background of the user."""
