"""Bayes' rule for the labels of a model: from log-likelihoods to posteriors, before normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float64Array, stacked
from streamgmm.decision.hop_scores import HopScores


class BayesRule(NamedTuple):
    """Weights of likelihoods and priors in the posteriors of labels.

    Attributes:
        labels: names of the model's labels.
        log_priors: float64, shape (n_competitors,), log prior of each label, last that of a background that
            competes (nat).
        likelihood_scale: factor on log-likelihoods that calibrates the posteriors.
    """

    labels: tuple[str, ...]
    log_priors: Float64Array
    likelihood_scale: float

    @property
    def has_competing_background(self) -> bool:
        """Whether a background that is no label takes its share of the posteriors."""
        return len(self.log_priors) > len(self.labels)

    def logits(self, hop: HopScores, softness: float = 1.0) -> Float64Array:
        """Return log posteriors of a hop up to a constant (nat), shape (n_competitors,).

        Args:
            hop: its log-likelihoods are not scaled.
            softness: further factor on log-likelihoods; below 1, the posteriors are less sharp.
        """
        logits: Float64Array = self.logits_stack([hop], softness)[0]
        return logits

    def logits_stack(self, hops: Sequence[HopScores], softness: float = 1.0) -> Float64Array:
        """Return `logits` of hops of any streams, shape (n_hops, n_competitors)."""
        log_likelihoods = stacked([hop.log_likelihoods for hop in hops])
        if self.has_competing_background:
            # Filled in place: appending costs more than all the rest.
            all_of_them = np.empty((len(hops), len(self.log_priors)))
            all_of_them[:, :-1] = log_likelihoods
            all_of_them[:, -1] = [hop.background_log_likelihood for hop in hops]
            log_likelihoods = all_of_them
        # The scale applies to likelihoods only: features depend on each other, which makes these overconfident.
        logits: Float64Array = log_likelihoods * (softness * self.likelihood_scale) + self.log_priors
        return logits
