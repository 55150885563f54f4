"""Conversions between units, and rounding: the only place where either happens."""

from __future__ import annotations

import math
from datetime import UTC, datetime

SILENCE_DBFS = -200.0
"""Level that stands for exact digital silence, so that no level is ever infinite (dB re full scale)."""


def seconds_to_samples(duration_s: float, sample_rate_hz: int) -> int:
    """Nearest whole number of samples in `duration_s` seconds."""
    return round(duration_s * sample_rate_hz)


def samples_to_seconds(n_samples: int, sample_rate_hz: int) -> float:
    """Duration of `n_samples` samples in seconds, to the microsecond."""
    return round_s(n_samples / sample_rate_hz)


def round_s(seconds: float) -> float:
    """Seconds to the microsecond, as records carry them."""
    return round(seconds, 6)


def round_score(score: float) -> float:
    """Scores, posteriors and log-likelihood ratios to 4 decimals, as records carry them."""
    return round(score, 4)


def round_db(level_db: float) -> float:
    """Levels to a tenth of a decibel, as records carry them."""
    return round(level_db, 1)


def power_to_dbfs(mean_square: float) -> float:
    """Level of a mean square (full scale = 1.0) in dB; digital silence gives `SILENCE_DBFS`."""
    if mean_square <= 0.0:
        return SILENCE_DBFS
    return max(SILENCE_DBFS, 10.0 * math.log10(mean_square))


def db_to_amplitude(level_db: float) -> float:
    """Factor on amplitudes that changes a level by `level_db` decibels."""
    return float(10.0 ** (level_db / 20.0))


def rfc3339(time: datetime) -> str:
    """UTC time with milliseconds as RFC 3339 text, e.g. `2026-01-31T12:00:00.250Z`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
