"""How often a label would raise an alarm: what counts in some hours say of the hours to come.

Counts of rare, independent alarms follow Poisson's law, and an upper limit of their rate is Garwood's
(Biometrika 28, 1936). It needs many hours: none in `h` hours leaves up to 3 / h per hour possible. What lies
beyond the highest score that was met is extrapolated by peaks over thresholds (Pickands, Annals of Statistics 3,
1975; Davison and Smith, JRSS B 52, 1990): on the logit scale of scores the excesses over a high level are taken
for exponential. The two numbers of alarms below were chosen on the very recordings of `tests.benchmarks.false_alarms`.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import numpy.typing as npt
from scipy.integrate import trapezoid
from scipy.stats import chi2

CONFIDENCE = 0.95
"""One-sided probability with which an upper limit holds."""

N_TAIL_ALARMS = 20
"""Alarms above the level from which a tail is fitted: fewer are noise, more are not the tail."""

N_PRIOR_ALARMS = 3
"""Weight of the slope of all labels together in that of one, in alarms: a label with few has none of its own."""

Reals = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


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


def expected_rates(levels: Reals, n_alarms: Counts, hours: float) -> Reals:
    """Alarms per hour to be expected at each level: those counted, or more where the tail says so.

    The tail of a label is P(excess > x) = (1 + x / s)^-n, the predictive distribution of an exponential of
    which n excesses with sum s were seen; the mean excess of all labels counts as `N_PRIOR_ALARMS` of them.

    Args:
        levels: shape (n_levels,), rising, logits of onset thresholds.
        n_alarms: shape (n_labels, n_levels), alarms in `hours` at each.
        hours: how long was listened (positive).

    Returns:
        shape (n_labels, n_levels), alarms per hour, not rising along the levels.
    """
    # A low threshold joins alarms to fewer, longer ones; they are no better than many.
    counts = np.maximum.accumulate(n_alarms[:, ::-1], axis=1)[:, ::-1].astype(np.float64)
    begins = np.argmax(counts <= N_TAIL_ALARMS, axis=1)
    n_excesses = counts[np.arange(len(counts)), begins]
    # The mean excess over a level is the area under the counts above it, divided by the count at it.
    sums = np.array([trapezoid(row[begin:], levels[begin:]) for row, begin in zip(counts, begins, strict=True)])
    prior = N_PRIOR_ALARMS * sums.sum() / max(1.0, n_excesses.sum())
    rates = counts / hours
    for row, begin, n, excess_sum in zip(rates, begins, n_excesses, sums, strict=True):
        if n:
            excesses = levels[begin:] - levels[begin]
            tail = n / hours * (1.0 + excesses / (excess_sum + prior)) ** -(n + N_PRIOR_ALARMS)
            row[begin:] = np.maximum(row[begin:], tail)
    return rates
