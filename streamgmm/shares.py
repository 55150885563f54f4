"""Shares of counts, and how far they can be trusted."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054
"""Quantile of the normal distribution that leaves 2.5 % above it."""


def wilson_interval(n_right: float, n: float) -> tuple[float, float]:
    """Return the 95 % score interval of the share that `n_right` of `n` independent trials is an estimate of.

    Wilson, Probable inference, the law of succession, and statistical inference, Journal of the American Statistical
    Association, 1927. It never leaves 0 to 1, and holds for a handful of trials, also if all or none are right.

    Args:
        n_right: 0 to `n`; a mean over repetitions need not be whole.
        n: trials; of none, nothing is known, and the interval is 0 to 1.
    """
    if n <= 0:
        return 0.0, 1.0
    share = n_right / n
    weight = Z_95**2 / n
    middle = (share + weight / 2.0) / (1.0 + weight)
    half = Z_95 * math.sqrt(share * (1.0 - share) / n + weight / (4.0 * n)) / (1.0 + weight)
    # At the ends the bound is exact, and rounding must not move it.
    low = 0.0 if n_right == 0 else max(0.0, middle - half)
    return low, 1.0 if n_right == n else min(1.0, middle + half)


def share_text(n_right: int, n: int, n_repeats: int = 1) -> str:
    """Return a share with its 95 % interval, such as `5 of 5 (57 to 100 %)`; `-` of nothing.

    Args:
        n_right: 0 to `n`.
        n: trials.
        n_repeats: how often the same things were tried: repetitions make the share no surer.
    """
    return f"{n_right} of {n} ({interval_text(n_right, n, n_repeats)})" if n else "-"


def interval_text(n_right: int, n: int, n_repeats: int = 1) -> str:
    """Return the 95 % interval of a share, such as `57 to 100 %`; arguments as for `share_text`."""
    low, high = wilson_interval(n_right / n_repeats, n / n_repeats)
    return f"{100 * low:.0f} to {100 * high:.0f} %"
