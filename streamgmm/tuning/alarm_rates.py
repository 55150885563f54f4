"""How often a label would raise an alarm: what counts in some hours say of the hours to come.

Counts of rare, independent alarms follow Poisson's law, and an upper limit of their rate is Garwood's
(Biometrika 28, 1936). It needs many hours: none in `h` hours leaves up to 3 / h per hour possible. What lies
beyond the highest score that was met is extrapolated by peaks over thresholds (Pickands, Annals of Statistics 3,
1975; Davison and Smith, JRSS B 52, 1990): on the logit scale of scores the excesses over a high level are taken
for exponential. How much is expected before anything was heard (all numbers below but `CONFIDENCE`) was chosen on the
recordings of `tests.benchmarks.false_alarms`, with five models of them; in minutes it says most, in days nothing.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from scipy.integrate import trapezoid
from scipy.stats import chi2

from streamgmm.arrays import Float64Array, Int64Array

CONFIDENCE = 0.95
"""One-sided probability with which an upper limit holds."""

N_TAIL_ALARMS = 8
"""Alarms from which a tail is fitted at most: more are not the tail. It is fitted from each of them upwards, as a
single one far above the others may be the lowest of another tail."""

PRIOR_EXCESS = 1.0
"""Mean excess (nat) to be expected before any was seen: among sounds of calibrated log odds s, those that are no
event are exp(-s) times as many as those that are."""

N_PRIOR_ALARMS = 20
"""Weight of that expectation, in alarms."""

N_UNSEEN_ALARMS = 0.5
"""None counts as so many: the prior of a rate by Jeffreys."""

POOLED_HOURS = 300.0 / 3600.0
"""A label counts as if it had also been listened to for so long with the rates of all labels: in a few minutes, which
label it is that meets a sound like its own is an accident of these minutes."""


def upper_rate_per_hour(n_alarms: int, hours: float) -> float:
    """Highest rate that `n_alarms` in `hours` (positive) are compatible with, at `CONFIDENCE` (Garwood 1936)."""
    return float(chi2.ppf(CONFIDENCE, 2 * (n_alarms + 1))) / 2.0 / hours


def hours_to_prove(rate_per_hour: float) -> float:
    """Hours without any alarm that it takes to prove a rate at `CONFIDENCE`; infinite for a rate of 0."""
    return upper_rate_per_hour(0, 1.0) / rate_per_hour if rate_per_hour else np.inf


def max_proven_alarms(rate_per_hour: float, hours: float) -> int | None:
    """Most alarms in `hours` that still prove at most `rate_per_hour`; None if not even their absence does."""
    if upper_rate_per_hour(0, hours) > rate_per_hour:
        return None
    # The limit rises with the count, and is above it: no more than this can be proven.
    counts = range(int(rate_per_hour * hours) + 1)
    return bisect_right(counts, rate_per_hour, key=lambda n_alarms: upper_rate_per_hour(n_alarms, hours)) - 1


def expected_rates(levels: Float64Array, n_alarms: Int64Array, hours: float) -> Float64Array:
    """Alarms per hour to be expected at each level: those counted, or more where the tail says so.

    The tail of a label is P(excess > x) = (1 + x / s)^-n, the predictive distribution of an exponential of
    which n excesses with sum s were seen; `N_PRIOR_ALARMS` of a mean of `PRIOR_EXCESS` count among them. What is
    so expected of a label is then averaged with what is of all labels, as `POOLED_HOURS` says.

    Args:
        levels: shape (n_levels,), rising, logits of onset thresholds.
        n_alarms: shape (n_labels, n_levels), alarms in `hours` at each.
        hours: how long was listened (positive).

    Returns:
        shape (n_labels, n_levels), alarms per hour, positive, not rising along the levels.
    """
    # A low threshold joins alarms to fewer, longer ones; they are no better than many.
    counts = np.maximum.accumulate(n_alarms[:, ::-1], axis=1)[:, ::-1].astype(np.float64)
    own = np.array([_highest_tail(levels, row) for row in counts]) / hours
    pooled = (hours * own + POOLED_HOURS * own.mean(axis=0)) / (hours + POOLED_HOURS)
    rates: Float64Array = np.maximum(counts / hours, pooled)
    return rates


def _highest_tail(levels: Float64Array, counts: Float64Array) -> Float64Array:
    """Alarms of one label to be expected by its counts, which do not rise: as many, or more by any of its tails."""
    if not counts[0]:
        return _tail(levels, counts, 0)
    # Of repetitive sounds, all alarms may be in one step of the levels: then all of them are where the tail begins.
    n_first = counts[counts >= min(N_TAIL_ALARMS, counts[0])].min()
    expected = counts
    for n_excesses in np.unique(counts[(counts <= n_first) & (counts > 0.0)]):
        expected = np.maximum(expected, _tail(levels, counts, int(np.flatnonzero(counts == n_excesses)[-1])))
    return expected


def _tail(levels: Float64Array, counts: Float64Array, begin: int) -> Float64Array:
    """Alarms to be expected by those counted at the level `begin` and above; below it as many as there."""
    n_excesses = counts[begin]
    # The mean excess over a level is the area under the counts above it, divided by the count at it.
    excess_sum = trapezoid(counts[begin:], levels[begin:]) + N_PRIOR_ALARMS * PRIOR_EXCESS
    excesses = np.maximum(levels - levels[begin], 0.0)
    shares = (1.0 + excesses / excess_sum) ** -(n_excesses + N_PRIOR_ALARMS)
    tail: Float64Array = max(n_excesses, N_UNSEEN_ALARMS) * shares
    return tail
