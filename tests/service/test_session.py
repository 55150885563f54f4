from __future__ import annotations

import pytest

from streamgmm.features.spec import FeatureSpec
from streamgmm.service.session import MAX_BLOCK_S, block_samples


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("hop_s", [0.016, 0.12, 0.25, 0.3, 0.5, 1.0, 1.9, 2.0])
def test_hops_end_with_blocks_of_a_source_which_are_not_long(rate_hz: int, hop_s: float) -> None:
    spec = FeatureSpec(sample_rate_hz=rate_hz, hop_s=hop_s, window_s=2.0)
    block = block_samples(spec)
    assert spec.hop_samples % block == 0
    assert block <= MAX_BLOCK_S * rate_hz
    assert block == spec.hop_samples or spec.hop_samples > MAX_BLOCK_S * rate_hz
