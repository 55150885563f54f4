"""Models: mixtures that give log-likelihoods of vectors, and the model file."""
