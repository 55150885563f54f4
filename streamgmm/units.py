"""Conversions between units, and rounding of the numbers in records."""

from __future__ import annotations

import math
from datetime import UTC, datetime

SILENCE_DBFS = -200.0
"""Level of exact digital silence (dB re full scale); finite, so that all levels are finite."""

MIN_SQUARE = 10.0 ** (SILENCE_DBFS / 10.0)
"""The mean square at that level; lower ones count as this one."""


def seconds_to_samples(duration_s: float, sample_rate_hz: int) -> int:
    """Return the whole number of samples nearest to `duration_s`."""
    return round(duration_s * sample_rate_hz)


def samples_to_seconds(n_samples: int, sample_rate_hz: int) -> float:
    """Return the duration of `n_samples` samples in seconds, rounded to microseconds."""
    return round_s(n_samples / sample_rate_hz)


def round_s(seconds: float) -> float:
    """Round seconds to microseconds, for records."""
    # Finer than a sample at every supported rate (2.6 us at 384 kHz).
    return round(seconds, 6)


def round_score(score: float) -> float:
    """Round scores, posteriors and log-likelihood ratios to 4 decimals, for records."""
    return round(score, 4)


def round_scores(scores: list[float]) -> list[float]:
    """Round as `round_score` does; for the scores of every label at every hop, calls would cost more than the work."""
    return [round(score, 4) for score in scores]


def round_db(level_db: float) -> float:
    """Round levels to a tenth of a decibel, for records."""
    return round(level_db, 1)


def power_to_dbfs(mean_square: float) -> float:
    """Convert a mean square (full scale = 1.0) to a level (dB re full scale), at least `SILENCE_DBFS`."""
    if mean_square <= 0.0:
        return SILENCE_DBFS
    # NaN gives the first argument, because no comparison with NaN is true.
    return max(SILENCE_DBFS, 10.0 * math.log10(mean_square))


def db_to_amplitude(level_db: float) -> float:
    """Return the factor on amplitudes that changes a level by `level_db` decibels."""
    return float(10.0 ** (level_db / 20.0))


def rfc3339(time: datetime) -> str:
    """Format a time as RFC 3339 text in UTC, with milliseconds, e.g. `2026-01-31T12:00:00.250Z`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
