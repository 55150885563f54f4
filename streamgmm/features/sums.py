"""Sums over rows or columns of small arrays, computed as products with a vector of ones.

For arrays of a few hundred rows, numpy's reductions take four to ten times as long as such a product.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from streamgmm.arrays import AnyArray

Number = TypeVar("Number", bound=np.inexact[Any])


@lru_cache(maxsize=256)
def _ones(n: int, dtype: np.dtype[Any]) -> AnyArray:
    ones = np.ones(n, dtype=dtype)
    # The cache hands the same array to all callers.
    ones.setflags(write=False)
    return ones


def sum_over_rows(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return the sum of the rows of `values`, shape (n, m); shape (m,), same dtype."""
    return np.asarray(_ones(len(values), values.dtype) @ values)


def mean_over_rows(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return the mean of the rows of `values`, shape (n, m), n >= 1; shape (m,), same dtype."""
    return np.asarray(sum_over_rows(values) / len(values))


def sum_over_columns(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return the sum of the columns of `values`, shape (n, m); shape (n,), same dtype."""
    return np.asarray(values @ _ones(values.shape[1], values.dtype))
