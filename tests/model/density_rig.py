"""Densities of random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamgmm.model.density import AlarmTail, BackgroundDensity
from tests.model.model_rig import N_FEATURES

TAIL = AlarmTail(level=0.5, per_hour=180.0, scale=0.02)


def make_density(n_features: int = N_FEATURES, n_axes: int = 3, seed: int = 0, **changes: Any) -> BackgroundDensity:
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.normal(size=(n_features, n_axes)))
    parts = {
        "mean": rng.normal(size=n_features),
        "weights": rng.uniform(0.5, 2.0, n_features),
        "centre": rng.normal(size=n_features) / 10,
        "axes": axes,
        "variances": np.linspace(9.0, 2.0, n_axes),
        "rest_variance": 0.5,
        "tail": TAIL,
    }
    return BackgroundDensity(**{**parts, **changes})
