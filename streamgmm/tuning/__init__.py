"""Thresholds that keep false alarms within a budget on recordings of the background."""
