"""From vectors to log-likelihoods: the mixtures, and the file that carries them."""
