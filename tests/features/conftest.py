"""The same tests for every kernel of this machine, and for numpy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamgmm.features.kernel.loader import VARIABLE, kernel_names


# Of a module: a test by hypothesis may not have a fixture of its own.
@pytest.fixture(scope="module", params=kernel_names())
def each_kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    """Makes new streams use one kernel after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, request.param)
        yield request.param
