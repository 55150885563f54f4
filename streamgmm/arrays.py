"""Array types, named by dtype, and numerical functions that several packages share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
Complex128Array = npt.NDArray[np.complex128]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.floating]
"""float32 or float64; results keep the precision of the input."""

IndexArray = npt.NDArray[np.intp]
Int64Array = npt.NDArray[np.int64]

Samples = Float32Array
"""Audio, shape (n_samples,), where full scale is 1."""

_Real = TypeVar("_Real", np.float32, np.float64)
_Scalar = TypeVar("_Scalar", bound=np.generic)


def stacked(rows: Sequence[npt.NDArray[_Scalar]]) -> npt.NDArray[_Scalar]:
    """Return one or more arrays, shape (n,), as the rows of one; a single one is not copied."""
    # For the few numbers of a hop, copying them takes longer than what is done with them.
    return rows[0][np.newaxis] if len(rows) == 1 else np.array(rows)


def address_of(array: AnyArray) -> int:
    """Return where the first number of an array is in memory, for a function in C; the caller keeps the array."""
    # Not `array.ctypes.data`: it runs Python code, which takes long where the processor slept just before.
    address: int = array.__array_interface__["data"][0]
    return address


def softmax(logits: npt.NDArray[_Real]) -> npt.NDArray[_Real]:
    """Return shares that sum to 1 along the last axis, from finite logarithms with any common offset.

    Args:
        logits: float32 or float64, shape (..., n), in nats; the result has its shape and dtype.
    """
    # The highest becomes 0, so that no exponential overflows and their sum is at least 1.
    # `reduce` itself: for the few labels of a hop, the methods of arrays take longer to call it than it takes.
    tops: npt.NDArray[_Real] = np.maximum.reduce(logits, axis=-1, keepdims=True)
    odds = np.exp(logits - tops)
    shares: npt.NDArray[_Real] = odds / np.add.reduce(odds, axis=-1, keepdims=True)
    return shares


def are_finite(values: FloatArray) -> bool:
    """Return whether no value is NaN or infinite."""
    return bool(np.logical_and.reduce(np.isfinite(values), axis=None))


def log_sum_exp(values: Float64Array) -> Float64Array:
    """Return the logarithm of the sum of exponentials along the last axis, without overflow."""
    # The largest term becomes exp(0) = 1, so the sum can neither overflow nor vanish.
    tops = np.maximum.reduce(values, axis=-1)
    logs: Float64Array = tops + np.log(np.add.reduce(np.exp(values - tops[..., np.newaxis]), axis=-1))
    return logs
