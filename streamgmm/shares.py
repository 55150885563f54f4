"""Shares of counts with their confidence intervals."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054
"""Quantile of the normal distribution that leaves 2.5 % above it."""


def wilson_interval(n_right: float, n: float) -> tuple[float, float]:
    """Return the 95 % score interval of a share, of which `n_right` of `n` independent trials is an estimate.

    Wilson, Probable inference, the law of succession, and statistical inference, Journal of the American Statistical
    Association, 1927. The interval stays within 0 to 1 and is valid for few trials, even if all or none are right.

    Args:
        n_right: number of right trials, 0 to `n`; as a mean over repetitions, it need not be whole.
        n: number of trials; for 0 trials, the interval is 0 to 1.
    """
    if n <= 0:
        return 0.0, 1.0
    # With p the share and z the quantile, `weight` is z^2/n, the centre is (p + z^2/2n) / (1 + z^2/n), and half of the
    # width is z sqrt(p(1-p)/n + z^2/4n^2) / (1 + z^2/n).
    share = n_right / n
    weight = Z_95**2 / n
    middle = (share + weight / 2.0) / (1.0 + weight)
    half = Z_95 * math.sqrt(share * (1.0 - share) / n + weight / (4.0 * n)) / (1.0 + weight)
    # At 0 and 1 the bound is exact, and must not be off by rounding.
    low = 0.0 if n_right == 0 else max(0.0, middle - half)
    return low, 1.0 if n_right == n else min(1.0, middle + half)


def share_text(n_right: int, n: int, n_repeats: int = 1) -> str:
    """Return a share with its 95 % interval, such as `5 of 5 (57 to 100 %)`; `-` for 0 trials.

    Args:
        n_right: number of right trials, 0 to `n`.
        n: number of trials.
        n_repeats: number of repetitions of each trial in `n`; they do not narrow the interval.
    """
    return f"{n_right} of {n} ({interval_text(n_right, n, n_repeats)})" if n else "-"


def interval_text(n_right: int, n: int, n_repeats: int = 1) -> str:
    """Return the 95 % interval of a share, such as `57 to 100 %`; arguments as for `share_text`."""
    low, high = wilson_interval(n_right / n_repeats, n / n_repeats)
    return f"{100 * low:.0f} to {100 * high:.0f} %"
