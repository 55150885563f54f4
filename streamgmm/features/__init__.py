"""From samples to vectors: the wavelet bank and what is measured on its bands."""
