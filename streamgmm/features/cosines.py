"""Truncated cosine transform: the coarse shapes of spectra and of their course in time."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from streamgmm.arrays import Float64Array


@lru_cache(maxsize=512)
def cosine_transform(n_points: int, n_orders: int) -> Float64Array:
    """Return the matrix of the orthonormal DCT-II (Ahmed, Natarajan and Rao, IEEE Trans. Computers, 1974).

    Orders above `n_points` are aliases of lower ones, with the opposite sign.

    Returns:
        float64, shape (n_points, n_orders), read-only.
    """
    places = np.arange(n_points)[:, np.newaxis] + 0.5
    cosines = np.cos(np.pi * places * np.arange(n_orders) / n_points) * math.sqrt(2.0 / n_points)
    cosines[:, 0] = math.sqrt(1.0 / n_points)
    # The cache hands the same array to all callers.
    cosines.setflags(write=False)
    return np.asarray(cosines)
