"""Decisions, from log-likelihoods to events: smoothing, rejection, hysteresis, back-dating."""
