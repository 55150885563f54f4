"""Bayes' rule for the labels of a model: from log-likelihoods to posteriors, before normalisation."""

from __future__ import annotations

from typing import NamedTuple

from streamgmm.arrays import Float64Array


class BayesRule(NamedTuple):
    """Weights of likelihoods and priors in the posteriors of labels.

    Attributes:
        labels: names of the model's labels.
        log_priors: float64, shape (n_labels,), log prior of each label (nat).
        likelihood_scale: factor on log-likelihoods that calibrates the posteriors.
    """

    labels: tuple[str, ...]
    log_priors: Float64Array
    likelihood_scale: float

    def logits(self, log_likelihoods: Float64Array, softness: float = 1.0) -> Float64Array:
        """Return log posteriors up to a constant (nat), shape (n_labels,), from log-likelihoods of that shape.

        Args:
            log_likelihoods: of each label, not scaled (nat).
            softness: further factor on log-likelihoods; below 1, the posteriors are less sharp.
        """
        # The scale applies to likelihoods only: features depend on each other, which makes these overconfident.
        return softness * self.likelihood_scale * log_likelihoods + self.log_priors
