"""Choose settings and calibration by cross-validation on held-out clips."""
