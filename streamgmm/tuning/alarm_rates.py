"""Rates of false alarms, estimated from counts in some hours of background.

Counts of rare, independent alarms follow a Poisson distribution, and the upper limit of their rate is Garwood's
(Biometrika 28, 1936). The limit needs many hours: no alarm in `h` hours leaves up to 3 / h per hour possible. Rates
beyond the highest observed score are extrapolated by peaks over thresholds (Pickands, Annals of Statistics 3,
1975; Davison and Smith, JRSS B 52, 1990): on the logit scale of scores, the excesses over a high level are assumed to
be exponential. The prior (all numbers below except `CONFIDENCE`) was chosen on the recordings of
`tests.benchmarks.false_alarms`, with five models. It dominates in minutes of audio, and vanishes in days.
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
"""Largest number of alarms from which a tail is fitted: more would include the body of the distribution. The tail is
fitted from each of them upwards, as a single one far above the others may be the lowest of another tail."""

PRIOR_EXCESS = 1.0
"""Prior mean excess (nat): among sounds of calibrated log odds s, those that are not events are exp(-s) times as many
as those that are."""

N_PRIOR_ALARMS = 20
"""Weight of the prior mean excess, in alarms."""

N_UNSEEN_ALARMS = 0.5
"""Count that stands for no alarm: Jeffreys' prior of a rate."""

POOLED_HOURS = 300.0 / 3600.0
"""Weight, in hours, of the mean rate of all labels in the rate of each: in a few minutes of audio, which label meets a
similar sound is chance."""


def upper_rate_per_hour(n_alarms: int, hours: float) -> float:
    """Return the upper limit of the rate per hour, at `CONFIDENCE`, of `n_alarms` in `hours` > 0 (Garwood 1936)."""
    # Half a quantile of the chi-squared distribution with 2 (n + 1) degrees of freedom bounds a Poisson mean.
    return float(chi2.ppf(CONFIDENCE, 2 * (n_alarms + 1))) / 2.0 / hours


def hours_to_prove(rate_per_hour: float) -> float:
    """Return the hours without any alarm that prove a rate at `CONFIDENCE`; infinite for a rate of 0."""
    return upper_rate_per_hour(0, 1.0) / rate_per_hour if rate_per_hour else np.inf


def max_proven_alarms(rate_per_hour: float, hours: float) -> int | None:
    """Return the most alarms in `hours` that still prove at most `rate_per_hour`; None if even no alarm does not."""
    if upper_rate_per_hour(0, hours) > rate_per_hour:
        return None
    # The limit rises with the count and exceeds it, which bounds the search.
    counts = range(int(rate_per_hour * hours) + 1)
    return bisect_right(counts, rate_per_hour, key=lambda n_alarms: upper_rate_per_hour(n_alarms, hours)) - 1


def expected_rates(levels: Float64Array, n_alarms: Int64Array, hours: float) -> Float64Array:
    """Return the expected alarms per hour at each level: the observed rate, or that of the fitted tail if it is higher.

    The tail of a label is P(excess > x) = (1 + x / s)^-n, the predictive distribution of an exponential after
    n excesses with sum s; they include `N_PRIOR_ALARMS` excesses with mean `PRIOR_EXCESS`. The rate of each label is
    then averaged with the mean rate of all labels, weighted by `POOLED_HOURS`.

    Args:
        levels: shape (n_levels,), rising, logits of onset thresholds.
        n_alarms: shape (n_labels, n_levels), alarms in `hours` at each.
        hours: length of the background, positive.

    Returns:
        float64, shape (n_labels, n_levels), alarms per hour, positive, not rising along the levels.
    """
    # A low threshold merges alarms into fewer, longer ones, which is not an improvement: make the counts monotone.
    counts = np.maximum.accumulate(n_alarms[:, ::-1], axis=1)[:, ::-1].astype(np.float64)
    own = np.array([_highest_tail(levels, row) for row in counts]) / hours
    pooled = (hours * own + POOLED_HOURS * own.mean(axis=0)) / (hours + POOLED_HOURS)
    rates: Float64Array = np.maximum(counts / hours, pooled)
    return rates


def _highest_tail(levels: Float64Array, counts: Float64Array) -> Float64Array:
    """Return the expected alarms of one label: its counts, which do not rise, or more by any of its tails."""
    if not counts[0]:
        return _tail(levels, counts, 0)
    # All alarms of a repetitive sound may be within one step of the levels; the tail then begins with all of them.
    n_first = counts[counts >= min(N_TAIL_ALARMS, counts[0])].min()
    expected = counts
    # Of the levels with the same count the highest one, just below the lowest of these alarms.
    for n_excesses in np.unique(counts[(counts <= n_first) & (counts > 0.0)]):
        expected = np.maximum(expected, _tail(levels, counts, int(np.flatnonzero(counts == n_excesses)[-1])))
    return expected


def _tail(levels: Float64Array, counts: Float64Array, begin: int) -> Float64Array:
    """Return the expected alarms by a tail fitted from the level `begin` upwards; constant below it."""
    n_excesses = counts[begin]
    # The mean excess over a level is the area under the counts above it, divided by the count at it.
    excess_sum = trapezoid(counts[begin:], levels[begin:]) + N_PRIOR_ALARMS * PRIOR_EXCESS
    excesses = np.maximum(levels - levels[begin], 0.0)
    # The predictive distribution of `expected_rates`; the prior adds to the sum and to the number alike.
    shares = (1.0 + excesses / excess_sum) ** -(n_excesses + N_PRIOR_ALARMS)
    tail: Float64Array = max(n_excesses, N_UNSEEN_ALARMS) * shares
    return tail
