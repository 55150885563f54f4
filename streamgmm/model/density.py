"""The density of a background: how strange a window is beside the recordings of a place.

All features count, also those by which no two classes differ: the space of the classes keeps next to nothing of a sound
that nobody taught. Features are standardised by the background and squashed, so that one that leaps does not outweigh
all others. The squared distance is that of a Gaussian with the covariance of the main axes of the background and the
same variance in all directions that are left (Moghaddam and Pentland, IEEE PAMI 19, 1997; Tipping and Bishop, 1999).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.errors import DataError
from streamgmm.model.mixture import MAX_MAGNITUDE, MIN_VARIANCE, checked_numbers

MAX_STRANGENESS = 100.0
"""Stands for larger ones (nat), so that the rate of false alarms underflows to 0 and no number overflows."""


class AlarmTail(NamedTuple):
    """How often the background itself reaches a strangeness, by its held-out windows: exponential above `level`.

    Attributes:
        level: begin of the tail (nat).
        per_hour: peaks of the background above `level` (1/h).
        scale: mean excess of these peaks over `level` (nat).
    """

    level: float
    per_hour: float
    scale: float

    def score(self, strangeness: float) -> float:
        """Return 1 / (1 + r), where the background would be as strange r times an hour; 0 to 1, rising."""
        exponent = math.log(self.per_hour) - (strangeness - self.level) / self.scale
        # `exp` overflows from 710 on, where the score is 0 in any case.
        return 1.0 / (1.0 + math.exp(min(exponent, 700.0)))

    def strangeness_at(self, per_hour: float) -> float:
        """Return the strangeness that the background reaches `per_hour` times an hour, above 0 (nat)."""
        return self.level + self.scale * math.log(self.per_hour / per_hour)


def score_at(per_hour: float) -> float:
    """Return the score of what the background reaches `per_hour` times an hour."""
    return 1.0 / (1.0 + per_hour)


@dataclass(frozen=True, eq=False)
class BackgroundDensity:
    """A Gaussian over all features of the windows of a background.

    Attributes:
        mean: float64, shape (f,), mean of each feature.
        weights: float64, shape (f,), 1 over the standard deviation of each feature; 0 for one that never varies, which
            does not count.
        centre: float64, shape (f,), mean of the squashed deviations.
        axes: float64, shape (f, k), orthonormal main axes of the squashed deviations.
        variances: float64, shape (k,), along the axes, at least `MIN_VARIANCE`.
        rest_variance: mean variance in the directions that are left, at least `MIN_VARIANCE`.
        tail: rates of false alarms.

    Raises:
        DataError: shapes do not fit, or a number is not valid.
    """

    mean: Float64Array
    weights: Float64Array
    centre: Float64Array
    axes: Float64Array
    variances: Float64Array
    rest_variance: float
    tail: AlarmTail

    def __post_init__(self) -> None:
        shape = np.shape(self.axes)
        if len(shape) != 2 or 0 in shape:
            raise DataError(f"density.axes has shape {shape}, expected (features, axes)")
        # To three digits, as the file keeps them: a model is the same before and after it was saved.
        object.__setattr__(self, "axes", np.asarray(self.axes, np.float16).astype(np.float64))
        n_features, n_axes = shape
        shapes = {"mean": (n_features,), "weights": (n_features,), "centre": (n_features,), "axes": shape}
        # Checked copies take the place of the arrays that were passed.
        for name, own in {**shapes, "variances": (n_axes,)}.items():
            object.__setattr__(self, name, checked_numbers(getattr(self, name), f"density.{name}", own))
        if (self.weights < 0.0).any():
            raise DataError("density.weights holds a negative number")
        # Negated, because every comparison with NaN is false.
        if not (self.variances >= MIN_VARIANCE).all() or not MIN_VARIANCE <= self.rest_variance <= MAX_MAGNITUDE:
            raise DataError(f"density holds a variance below {MIN_VARIANCE:g}, or one that is not finite")
        level, per_hour, scale = self.tail
        if not (abs(level) <= MAX_STRANGENESS and 0.0 < per_hour <= MAX_MAGNITUDE and 0.0 < scale <= MAX_STRANGENESS):
            raise DataError(f"density.tail is {level:g}, {per_hour:g}, {scale:g}: not finite, or out of range")

    @property
    def n_features(self) -> int:
        """Length of vectors, f."""
        return len(self.mean)

    @property
    def n_axes(self) -> int:
        """Number of main axes, k."""
        return len(self.variances)

    @cached_property
    def _gains(self) -> Float64Array:
        # What a squared distance along each axis still adds, once all directions are counted like the rest.
        gains: Float64Array = 1.0 / self.variances - 1.0 / self.rest_variance
        return gains

    def strangeness(self, vector: Float64Array) -> float:
        """Return the logarithm of the root mean square distance of a window from the background (nat).

        Args:
            vector: float64, shape (f,), finite.
        """
        # One vector at a time with fixed shapes: the bits must not depend on what else is scored.
        squashed = squash(vector, self.mean, self.weights)
        squashed -= self.centre
        along = squashed @ self.axes
        squared = float(squashed @ squashed) / self.rest_variance + float((along * along) @ self._gains)
        return _strangeness(squared, self.n_features)

    def strangeness_of_many(self, vectors: Float64Array) -> Float64Array:
        """Return `strangeness` of vectors, shape (n, f), for training: shape (n,); equal up to rounding."""
        squashed = squash(vectors, self.mean, self.weights) - self.centre
        along = squashed @ self.axes
        squared = np.square(squashed).sum(axis=1) / self.rest_variance + np.square(along) @ self._gains
        return np.array([_strangeness(one, self.n_features) for one in squared.tolist()])


def squash(vectors: Float64Array, mean: Float64Array, weights: Float64Array) -> Float64Array:
    """Return standardised deviations of vectors, shape (..., f); those beyond 1 grow like logarithms."""
    deviations = (vectors - mean) * weights
    squashed: Float64Array = np.arcsinh(deviations, out=deviations)
    return squashed


def _strangeness(squared_distance: float, n_features: int) -> float:
    # Axes that are rounded in a file are not quite orthonormal, so a sum near 0 may come out below it.
    if not squared_distance > 0.0:
        return -MAX_STRANGENESS
    return min(max(0.5 * math.log(squared_distance / n_features), -MAX_STRANGENESS), MAX_STRANGENESS)
