"""Levels over time and frequency, for pictures only; features are computed elsewhere."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from streamgmm import units
from streamgmm.arrays import Float64Array, Samples

LOWEST_SHOWN_HZ = 60.0
WINDOW_S = 0.04
N_HOPS_PER_WINDOW = 4
# Digital silence is shown as -140 dB, not as minus infinity.
FLOOR_POWER = 1e-14

SHOWN_RANGE_DB = 65.0
"""Range of levels between black and white."""

LOUDEST_PERCENTILE = 99.9
TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000, 16000)


def band_edges_hz(n_bands: int, sample_rate_hz: int) -> Float64Array:
    """Return the edges (Hz) of bands of equal width in octaves up to Nyquist, float64, shape (n_bands + 1,)."""
    return np.geomspace(LOWEST_SHOWN_HZ, sample_rate_hz / 2, n_bands + 1)


def band_levels_db(samples: Samples, sample_rate_hz: int, n_bands: int, n_columns: int) -> Float64Array:
    """Return the highest level of every band within every column (dB), from Hann windows of 40 ms.

    The maximum, not the mean: a knock must not vanish in a column that is mostly pause.

    Args:
        samples: float32, shape (n,), full scale 1.0.
        sample_rate_hz: rate of `samples`.
        n_bands: number of rows.
        n_columns: number of columns.

    Returns:
        float64, shape (n_bands, n_columns), lowest band and earliest column first.
    """
    n_window = units.seconds_to_samples(WINDOW_S, sample_rate_hz)
    pooling = _pooling(n_bands, n_window, sample_rate_hz)
    taper = np.hanning(n_window)
    # Frame k is centred on sample k, so both ends are padded by half a window.
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, n_window // 2), n_window)
    borders = np.linspace(0, len(samples), n_columns + 1).astype(int)
    levels_db = np.empty((n_bands, n_columns))
    for column, (first, end) in enumerate(pairwise(borders)):
        # At least one frame, even if a recording has fewer samples than the picture has columns.
        spectra = np.fft.rfft(frames[first : max(end, first + 1) : n_window // N_HOPS_PER_WINDOW] * taper)
        powers = np.abs(spectra) ** 2 @ pooling.T
        levels_db[:, column] = 10 * np.log10(np.max(powers, axis=0) + FLOOR_POWER)
    return levels_db


def shown_range_db(levels_db: Float64Array) -> tuple[float, float]:
    """Return the lowest and the highest level to show, so that a few loud cells do not darken the rest."""
    highest_db = float(np.percentile(levels_db, LOUDEST_PERCENTILE))
    return highest_db - SHOWN_RANGE_DB, highest_db


def frequency_ticks(sample_rate_hz: int) -> tuple[list[int], list[str]]:
    """Return the frequencies (Hz) to mark on an axis up to Nyquist, and their names."""
    ticks_hz = [tick_hz for tick_hz in TICKS_HZ if tick_hz <= sample_rate_hz / 2]
    return ticks_hz, [f"{tick_hz} Hz" if tick_hz < 1000 else f"{tick_hz // 1000} kHz" for tick_hz in ticks_hz]


def _pooling(n_bands: int, n_window: int, sample_rate_hz: int) -> Float64Array:
    edges_hz = band_edges_hz(n_bands, sample_rate_hz)
    centres_hz = (edges_hz[:-1] + edges_hz[1:]) / 2
    bins_hz = np.fft.rfftfreq(n_window, 1 / sample_rate_hz)
    # Full weight within a band and none from one bin outside on: this also interpolates between
    # bins where a band is narrower than they are.
    outside_hz = np.abs(bins_hz - centres_hz[:, None]) - np.diff(edges_hz)[:, None] / 2
    weights = np.clip(1.0 - outside_hz / bins_hz[1], 0.0, 1.0)
    pooled: Float64Array = weights / weights.sum(axis=1, keepdims=True)
    return pooled
