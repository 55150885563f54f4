"""The cosine transform, cut to its first orders: coarse shapes of spectra and of their course in time."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from streamgmm.arrays import Float64Array


@lru_cache(maxsize=512)
def cosine_transform(n_points: int, n_orders: int) -> Float64Array:
    """The orthonormal DCT-II (Ahmed, Natarajan and Rao, IEEE Trans. Computers, 1974); shape (n_points, n_orders).

    Orders that n points cannot have are repetitions of others, not zeros: no sum over a few points is constant.
    """
    places = np.arange(n_points)[:, np.newaxis] + 0.5
    cosines = np.cos(np.pi * places * np.arange(n_orders) / n_points) * math.sqrt(2.0 / n_points)
    cosines[:, 0] = math.sqrt(1.0 / n_points)
    cosines.setflags(write=False)
    return np.asarray(cosines)
