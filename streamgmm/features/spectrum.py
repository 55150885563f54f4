"""The spectrum of a window, as people look at it: the levels of the bands."""

from __future__ import annotations

import math

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.features.spec import FeatureSpec

DB_PER_NEPER = 10.0 / math.log(10.0)
"""Decibels of an energy to its natural logarithm."""


def band_levels_db(vector: Float64Array, spec: FeatureSpec, level_dbfs: float) -> list[int]:
    """Return the level of each band over a window, lowest band first; together they have the level of the window.

    Args:
        vector: of the window, shape (n_features,), finite; it begins with the shape of the spectrum.
        spec: number of bands.
        level_dbfs: level of the window (dB re full scale).
    """
    shape = vector[: spec.n_bands] * DB_PER_NEPER
    total_db = 10.0 * math.log10(float(np.power(10.0, shape / 10.0).sum()))
    levels: list[int] = np.rint(shape + (level_dbfs - total_db)).astype(int).tolist()
    return levels
