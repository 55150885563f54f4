"""A layer of rectified units beside the linear projection, which a training adds where it helps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from streamgmm.arrays import Float32Array, Float64Array, FloatArray
from streamgmm.errors import DataError
from streamgmm.model.mixture import checked_numbers


@dataclass(frozen=True, eq=False)
class Bottleneck:
    """Adds max(0, z @ weights + offsets) @ matrix + shift to the linear projection of standardised features z.

    The units come from a small network that was trained to tell the labels apart through a layer of few outputs (Grezl,
    Karafiat, Kontar and Cernocky, ICASSP, 2007). That layer is linear, and so is the projection that follows it: both
    are multiplied out in `matrix`.

    Attributes:
        weights: float64, shape (f, u), of values that float16 holds exactly.
        offsets: float64, shape (u,).
        matrix: float64, shape (u, d).
        shift: float64, shape (d,).

    Raises:
        DataError: shapes do not fit, or a number is not finite.
    """

    weights: Float64Array
    offsets: Float64Array
    matrix: Float64Array
    shift: Float64Array

    def __post_init__(self) -> None:
        shape = np.shape(self.matrix)
        if len(shape) != 2 or np.ndim(self.weights) != 2:
            raise DataError("a bottleneck needs two matrices")
        # Checked copies take the place of the arrays that were passed.
        of_arrays = {
            "weights": (len(self.weights), shape[0]),
            "offsets": shape[:1],
            "matrix": shape,
            "shift": shape[1:],
        }
        for name, expected in of_arrays.items():
            object.__setattr__(self, name, checked_numbers(getattr(self, name), f"bottleneck {name}", expected))

    @property
    def n_units(self) -> int:
        """Number of rectified units, u."""
        return len(self.matrix)

    @cached_property
    def _single(self) -> tuple[Float32Array, Float32Array]:
        return self.weights.astype(np.float32), self.offsets.astype(np.float32)

    def apply(self, standardised: Float64Array) -> Float64Array:
        """Return what is added to the projection of vectors, shape (..., f); shape (..., d).

        The units are computed in single precision, in which features are measured: it takes a third of the time.
        """
        weights, offsets = self._single
        return self._above(standardised.astype(np.float32) @ weights + offsets)

    def apply_exactly(self, standardised: Float64Array) -> Float64Array:
        """Return the same in double precision, for derivatives and integrals of it."""
        return self._above(self._sums(standardised))

    def _sums(self, standardised: Float64Array) -> Float64Array:
        sums: Float64Array = standardised @ self.weights + self.offsets
        return sums

    def _above(self, sums: FloatArray) -> Float64Array:
        added: Float64Array = np.maximum(sums, 0.0).astype(np.float64) @ self.matrix + self.shift
        return added

    def gradient(self, standardised: Float64Array, by_outputs: Float64Array) -> Float64Array:
        """Return the gradient at one vector by its features, shape (f,), given that by the outputs, shape (d,)."""
        is_active = self._sums(standardised) > 0.0
        gradient: Float64Array = self.weights[:, is_active] @ (self.matrix[is_active] @ by_outputs)
        return gradient

    def kinks(self, start: Float64Array, end: Float64Array) -> Float64Array:
        """Return where units begin or cease on the line between two vectors, (f,), as shares of it, ascending."""
        first, last = (self._sums(vector) for vector in (start, end))
        is_crossed = (first > 0.0) != (last > 0.0)
        return np.sort(first[is_crossed] / (first - last)[is_crossed])
