"""Feature extraction: the wavelet bank, and the statistics of its bands that make the vectors."""
