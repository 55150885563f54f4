from __future__ import annotations

import numpy as np
import pytest

from streamgmm.demo.backgrounds import BACKGROUNDS, any_background
from streamgmm.demo.synthesis import rms

RATE_HZ = 16000


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_a_background_is_finite_and_has_unit_level_without_offset(kind):
    samples = kind(np.random.default_rng(0), 2 * RATE_HZ + 1, RATE_HZ)
    assert samples.shape == (2 * RATE_HZ + 1,)
    assert np.all(np.isfinite(samples))
    assert rms(samples) == pytest.approx(1.0)
    assert abs(samples.mean()) < 0.2


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_a_background_has_nothing_sudden_in_it(kind):
    samples = kind(np.random.default_rng(1), 3 * RATE_HZ, RATE_HZ)
    levels = np.sqrt(np.mean(samples.reshape(-1, RATE_HZ // 5) ** 2, axis=1))
    assert levels.max() / levels.min() < 10


def test_every_kind_turns_up():
    seen = set()
    for seed in range(60):
        samples = any_background(np.random.default_rng(seed), 800, RATE_HZ)
        rng = np.random.default_rng(seed)
        i_kind = int(rng.integers(len(BACKGROUNDS)))
        assert np.array_equal(samples, BACKGROUNDS[i_kind](rng, 800, RATE_HZ))
        seen.add(i_kind)
    assert seen == set(range(len(BACKGROUNDS)))
