"""Hops of many sources cost less together than one by one."""

from __future__ import annotations

import pytest

from streamgmm.features.kernel.loader import NUMPY, kernel_name
from tests.bells_rig import make_bells, make_samples
from tests.benchmarks.stacks import stack_ratio


@pytest.mark.skipif(kernel_name() == NUMPY, reason="in numpy, the features of each stream are computed one by one")
def test_a_hop_costs_less_in_a_stack_than_alone() -> None:
    samples = make_samples()
    model = make_bells(samples, has_frames=True)
    # About 0.4 on the machine that this was written on.
    assert stack_ratio(model, samples, 16, 7) < 0.8
