"""The linear map from features to the space of the mixtures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.errors import DataError
from streamgmm.model.mixture import checked_numbers

MIN_SCALE = 1e-9
"""Minimum scale: features that vary less carry no information, and dividing by less amplifies rounding errors."""


@dataclass(frozen=True, eq=False)
class Projection:
    """Standardises the features and projects them: (x - mean) / scale @ matrix.

    Attributes:
        mean: float64, shape (f,), mean of the training data.
        scale: float64, shape (f,), at least `MIN_SCALE`, usually the standard deviation.
        matrix: float64, shape (f, d), usually from a linear discriminant analysis.

    Raises:
        DataError: shapes do not fit, or a number is not valid.
    """

    mean: Float64Array
    scale: Float64Array
    matrix: Float64Array

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

    @property
    def n_features(self) -> int:
        """Length of input vectors, f."""
        return len(self.matrix)

    @property
    def n_dimensions(self) -> int:
        """Length of output vectors, d."""
        return int(self.matrix.shape[1])

    @cached_property
    def _scaled_matrix(self) -> Float64Array:
        # Scaling the matrix once saves a division per vector.
        scaled: Float64Array = self.matrix / self.scale[:, np.newaxis]
        return scaled

    def apply(self, vectors: Float64Array) -> Float64Array:
        """Project vectors, shape (..., f); shape (..., d)."""
        projected: Float64Array = (vectors - self.mean) @ self._scaled_matrix
        return projected
