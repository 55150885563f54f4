"""Smoothing of posteriors over time: exponential, sticky hidden Markov model, or none.

A smoother holds no stream: `Smoother.advance` takes the state of one stream to its next hop, and all else treats every
row by itself, whatever streams the rows are of.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from streamgmm.arrays import Float64Array, softmax
from streamgmm.settings.decision import DecisionSection

LEAST_LOG_ODDS = -20.0
"""Log odds to the best label (nat) are not averaged below it: one hop must not weigh more than all others."""


class Smoother(Protocol):
    """Smooths posteriors, one step per hop.

    Attributes:
        start: float64, shape (n_labels,), state at the start of a stream: the uniform distribution.
    """

    start: Float64Array

    def prepare(self, log_posteriors: Float64Array) -> Float64Array:
        """Return what hops bring to the states.

        Args:
            log_posteriors: float64, shape (n, n_labels), finite: log-likelihood plus log prior of each label (nat), up
                to a common offset for each row.

        Returns:
            float64, shape (n, n_labels).
        """

    def advance(self, state: Float64Array, prepared: Float64Array) -> Float64Array:
        """Return the state of a stream after a hop, as a new array; both have the shape of `start`."""

    def posteriors(self, states: Float64Array) -> Float64Array:
        """Return the smoothed posteriors of states, float64, shape (n, n_labels), each row summing to 1."""


class NoSmoother:
    """Returns the posteriors of each hop unsmoothed."""

    def __init__(self, n_labels: int) -> None:
        self.start = np.full(n_labels, 1.0 / n_labels)

    def prepare(self, log_posteriors: Float64Array) -> Float64Array:
        """See `Smoother.prepare`."""
        return softmax(log_posteriors)

    def advance(self, state: Float64Array, prepared: Float64Array) -> Float64Array:
        """See `Smoother.advance`."""
        return prepared

    def posteriors(self, states: Float64Array) -> Float64Array:
        """See `Smoother.posteriors`."""
        return states


class ExponentialSmoother:
    """First-order recursive average (Brown 1956) of the log posteriors, normalised again.

    Logarithms do not saturate: a sure sound passes a high threshold sooner than a doubtful one, where the average of
    posteriors near 1 only tells for how long they have been so. They are averaged relative to the best label of their
    hop, which moves all labels alike, and so no posterior.

    Args:
        hop_s: time between updates.
        time_constant_s: time in which 63 % of a change takes effect; 0 smooths nothing.
        n_labels: number of labels.
    """

    def __init__(self, hop_s: float, time_constant_s: float, n_labels: int) -> None:
        # `expm1` stays precise for hops much shorter than the time constant.
        self._gain = -math.expm1(-hop_s / time_constant_s) if time_constant_s > 0.0 else 1.0
        self._keep = 1.0 - self._gain
        self.start = np.zeros(n_labels)

    def prepare(self, log_posteriors: Float64Array) -> Float64Array:
        """See `Smoother.prepare`."""
        log_odds = log_posteriors - np.maximum.reduce(log_posteriors, axis=1, keepdims=True)
        return self._gain * np.maximum(log_odds, LEAST_LOG_ODDS)

    def advance(self, state: Float64Array, prepared: Float64Array) -> Float64Array:
        """See `Smoother.advance`."""
        return self._keep * state + prepared

    def posteriors(self, states: Float64Array) -> Float64Array:
        """See `Smoother.posteriors`."""
        # From `LEAST_LOG_ODDS` to 0: no exponential overflows or vanishes.
        odds = np.exp(states)
        shares: Float64Array = odds / np.add.reduce(odds, axis=1, keepdims=True)
        return shares


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
        self.start = np.full(n_labels, 1.0 / n_labels)

    def prepare(self, log_posteriors: Float64Array) -> Float64Array:
        """See `Smoother.prepare`."""
        return log_posteriors

    def advance(self, state: Float64Array, prepared: Float64Array) -> Float64Array:
        """See `Smoother.advance`."""
        # The product with the transition matrix, whose off-diagonal entries are all equal: n operations, not n^2.
        predicted = self._move + self._stickiness * state
        # `predicted` is at least the probability of a move, so its logarithm is finite.
        return softmax(np.log(predicted) + prepared)

    def posteriors(self, states: Float64Array) -> Float64Array:
        """See `Smoother.posteriors`."""
        return states


def make_smoother(section: DecisionSection, hop_s: float, n_labels: int) -> Smoother:
    """Return the smoother that the settings name."""
    if section.smoothing == "exponential":
        return ExponentialSmoother(hop_s, section.smoothing_s, n_labels)
    if section.smoothing == "hmm":
        return StickyHmmSmoother(hop_s, section.hmm_mean_duration_s, n_labels)
    return NoSmoother(n_labels)
