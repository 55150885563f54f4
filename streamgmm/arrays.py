"""Array types that the rooms share, named by their dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
Complex128Array = npt.NDArray[np.complex128]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.floating]
"""float32 or float64; what is computed from it keeps the precision that came in."""

IndexArray = npt.NDArray[np.intp]
Int64Array = npt.NDArray[np.int64]

Samples = Float32Array
"""Audio, shape (n_samples,), where full scale is 1."""
