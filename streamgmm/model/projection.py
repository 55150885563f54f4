"""The map from features to the space of the mixtures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.errors import DataError
from streamgmm.model.bottleneck import Bottleneck
from streamgmm.model.mixture import checked_numbers

MIN_SCALE = 1e-9
"""Minimum scale: features that vary less carry no information, and dividing by less amplifies rounding errors."""


@dataclass(frozen=True, eq=False)
class Projection:
    """Standardises the features and projects them: (x - mean) / scale @ matrix, and what a bottleneck adds.

    Attributes:
        mean: float64, shape (f,), mean of the training data.
        scale: float64, shape (f,), at least `MIN_SCALE`, usually the standard deviation.
        matrix: float64, shape (f, d), usually from a linear discriminant analysis.
        bottleneck: None for a projection that is linear.

    Raises:
        DataError: shapes do not fit, or a number is not valid.
    """

    mean: Float64Array
    scale: Float64Array
    matrix: Float64Array
    bottleneck: Bottleneck | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.matrix)
        if len(shape) != 2 or 0 in shape:
            raise DataError(f"matrix has shape {shape}, expected (features, dimensions)")
        # Checked copies take the place of the arrays that were passed.
        object.__setattr__(self, "matrix", checked_numbers(self.matrix, "matrix", shape))
        for name in ("mean", "scale"):
            object.__setattr__(self, name, checked_numbers(getattr(self, name), name, shape[:1]))
        if (self.scale < MIN_SCALE).any():
            raise DataError(f"scale holds {self.scale.min():g}, below {MIN_SCALE:g}")
        if self.bottleneck and (len(self.bottleneck.weights), *self.bottleneck.shift.shape) != shape:
            raise DataError("bottleneck and matrix differ in shape")

    @property
    def n_features(self) -> int:
        """Length of input vectors, f."""
        return len(self.matrix)

    @property
    def n_dimensions(self) -> int:
        """Length of output vectors, d."""
        return int(self.matrix.shape[1])

    @property
    def n_units(self) -> int:
        """Number of units of the bottleneck; 0 without one."""
        return self.bottleneck.n_units if self.bottleneck else 0

    @cached_property
    def _scaled_matrix(self) -> Float64Array:
        # Scaling the matrix once saves a division per vector.
        scaled: Float64Array = self.matrix / self.scale[:, np.newaxis]
        return scaled

    def apply(self, vectors: Float64Array) -> Float64Array:
        """Project vectors, shape (..., f); shape (..., d)."""
        centred = vectors - self.mean
        projected: Float64Array = centred @ self._scaled_matrix
        if self.bottleneck is not None:
            projected += self.bottleneck.apply(centred / self.scale)
        return projected

    def apply_exactly(self, vector: Float64Array) -> Float64Array:
        """Project one vector, shape (f,), in double precision throughout; shape (d,)."""
        centred = vector - self.mean
        projected: Float64Array = centred @ self._scaled_matrix
        return projected if self.bottleneck is None else projected + self.bottleneck.apply_exactly(centred / self.scale)

    def kinks(self, vector: Float64Array) -> Float64Array:
        """Return where the gradient jumps on the line from the mean to a vector, shape (f,), as shares of it."""
        if self.bottleneck is None:
            return np.zeros(0)
        return self.bottleneck.kinks(np.zeros(self.n_features), (vector - self.mean) / self.scale)

    def gradient(self, vector: Float64Array, by_outputs: Float64Array) -> Float64Array:
        """Return the gradient at one vector by its standardised features, shape (f,).

        Args:
            vector: shape (f,).
            by_outputs: shape (d,), the gradient by the outputs.
        """
        gradient: Float64Array = self.matrix @ by_outputs
        if self.bottleneck is not None:
            gradient += self.bottleneck.gradient((vector - self.mean) / self.scale, by_outputs)
        return gradient
