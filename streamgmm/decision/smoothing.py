"""Smoothing of posteriors over time: exponential, sticky hidden Markov model, or none.

All smoothers start from the uniform distribution, and `reset` returns to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np

from streamgmm.arrays import Float64Array, are_finite, log_sum_exp, softmax
from streamgmm.errors import DataError
from streamgmm.settings.decision import DecisionSection

LEAST_LOG_POSTERIOR = -20.0
"""Log posteriors (nat) are not averaged below it: one hop must not weigh more than all others."""


class Smoother(Protocol):
    """Smooths posteriors, one step per hop: of one stream, or of several with equal settings together."""

    def update(self, log_posteriors: Float64Array) -> Float64Array:
        """Process one hop; return the smoothed posteriors.

        Args:
            log_posteriors: float64, shape (n_labels,): log-likelihood plus log prior of each label (nat),
                up to a common offset.

        Returns:
            float64, shape (n_labels,), summing to 1; the smoother does not change the array later.

        Raises:
            DataError: wrong shape, or a number that is not finite; the state is unchanged.
        """

    def update_stack(self, smoothers: Sequence[Self], log_posteriors: Float64Array) -> Float64Array:
        """Process a hop of each of several streams, each to the last bit as `update` does by itself.

        Args:
            smoothers: n smoothers with the settings of this one, which is among them.
            log_posteriors: float64, shape (n, n_labels), see `update`.

        Returns:
            float64, shape (n, n_labels).
        """

    def reset(self) -> None:
        """Return to the uniform distribution."""


def _check_posteriors(log_posteriors: Float64Array, n_labels: int) -> None:
    if log_posteriors.shape[1:] != (n_labels,):
        raise DataError(f"posteriors of shape {log_posteriors.shape[1:]}", hint=f"the model has {n_labels} labels")
    # A NaN would stay in the state of the smoother forever.
    if not are_finite(log_posteriors):
        raise DataError("posteriors that are not finite")


class NoSmoother:
    """Returns the posteriors of each hop unsmoothed."""

    def __init__(self, n_labels: int) -> None:
        self._n_labels = n_labels

    def update(self, log_posteriors: Float64Array) -> Float64Array:
        """See `Smoother.update`."""
        smoothed: Float64Array = self.update_stack([self], log_posteriors[np.newaxis])[0]
        return smoothed

    def update_stack(self, smoothers: Sequence[Self], log_posteriors: Float64Array) -> Float64Array:
        """See `Smoother.update_stack`."""
        _check_posteriors(log_posteriors, self._n_labels)
        return softmax(log_posteriors)

    def reset(self) -> None:
        """See `Smoother.reset`."""


class ExponentialSmoother:
    """First-order recursive average (Brown 1956) of the log posteriors, normalised again.

    Logarithms do not saturate: a sure sound passes a high threshold sooner than a doubtful one, where the average of
    posteriors near 1 only tells for how long they have been so.

    Args:
        hop_s: time between updates.
        time_constant_s: time in which 63 % of a change takes effect; 0 smooths nothing.
        n_labels: number of labels.
    """

    def __init__(self, hop_s: float, time_constant_s: float, n_labels: int) -> None:
        # `expm1` stays precise for hops much shorter than the time constant.
        self._gain = -math.expm1(-hop_s / time_constant_s) if time_constant_s > 0.0 else 1.0
        self._n_labels = n_labels
        self._log_posteriors: Float64Array
        self.reset()

    def update(self, log_posteriors: Float64Array) -> Float64Array:
        """See `Smoother.update`."""
        smoothed: Float64Array = self.update_stack([self], log_posteriors[np.newaxis])[0]
        return smoothed

    def update_stack(self, smoothers: Sequence[Self], log_posteriors: Float64Array) -> Float64Array:
        """See `Smoother.update_stack`."""
        _check_posteriors(log_posteriors, self._n_labels)
        totals = log_sum_exp(log_posteriors)[:, np.newaxis]
        normalised = np.maximum(log_posteriors - totals, LEAST_LOG_POSTERIOR)
        before = np.array([smoother._log_posteriors for smoother in smoothers])
        smoothed = self._gain * normalised + (1.0 - self._gain) * before
        for smoother, row in zip(smoothers, smoothed, strict=True):
            smoother._log_posteriors = row
        return softmax(smoothed)

    def reset(self) -> None:
        """See `Smoother.reset`."""
        self._log_posteriors = np.full(self._n_labels, -math.log(self._n_labels))


class StickyHmmSmoother:
    """Forward pass of a hidden Markov model with a high probability of staying (Rabiner 1989, eq. 19 to 21).

    At each hop, a label is left with probability hop / mean duration, for all other labels alike. The pass is
    normalised at every hop, and takes log-likelihoods, so it does not underflow however long it runs.

    Args:
        hop_s: time between updates.
        mean_duration_s: mean time in one label.
        n_labels: number of labels.
    """

    def __init__(self, hop_s: float, mean_duration_s: float, n_labels: int) -> None:
        # With less than the uniform probability, the model would expect a change at every hop.
        stay = max(1.0 - hop_s / mean_duration_s, 1.0 / n_labels)
        # A single label has no other one to move to.
        self._move = (1.0 - stay) / (n_labels - 1) if n_labels > 1 else 0.0
        self._stickiness = stay - self._move if n_labels > 1 else 1.0
        self._n_labels = n_labels
        self._posteriors: Float64Array
        self.reset()

    def update(self, log_posteriors: Float64Array) -> Float64Array:
        """See `Smoother.update`."""
        smoothed: Float64Array = self.update_stack([self], log_posteriors[np.newaxis])[0]
        return smoothed

    def update_stack(self, smoothers: Sequence[Self], log_posteriors: Float64Array) -> Float64Array:
        """See `Smoother.update_stack`."""
        _check_posteriors(log_posteriors, self._n_labels)
        before = np.array([smoother._posteriors for smoother in smoothers])
        # The product with the transition matrix, whose off-diagonal entries are all equal: n operations, not n^2.
        predicted = self._move + self._stickiness * before
        # `predicted` is at least the probability of a move, so its logarithm is finite.
        posteriors = softmax(np.log(predicted) + log_posteriors)
        for smoother, row in zip(smoothers, posteriors, strict=True):
            smoother._posteriors = row
        return posteriors

    def reset(self) -> None:
        """See `Smoother.reset`."""
        self._posteriors = np.full(self._n_labels, 1.0 / self._n_labels)


def make_smoother(section: DecisionSection, hop_s: float, n_labels: int) -> Smoother:
    """Return the smoother that the settings name."""
    if section.smoothing == "exponential":
        return ExponentialSmoother(hop_s, section.smoothing_s, n_labels)
    if section.smoothing == "hmm":
        return StickyHmmSmoother(hop_s, section.hmm_mean_duration_s, n_labels)
    return NoSmoother(n_labels)
