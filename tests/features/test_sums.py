from __future__ import annotations

import numpy as np
import pytest

from streamgmm.features.sums import mean_over_rows, sum_over_columns, sum_over_rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
@pytest.mark.parametrize("shape", [(1, 3), (360, 7), (345, 32)])
def test_sums_and_means_are_numpys(shape, dtype) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(dtype)
    for ours, theirs in (
        (sum_over_rows(values), values.sum(axis=0)),
        (mean_over_rows(values), values.mean(axis=0)),
        (sum_over_columns(values), values.sum(axis=1)),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)
        assert ours.dtype == dtype
