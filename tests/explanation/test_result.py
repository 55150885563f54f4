from __future__ import annotations

import numpy as np
import pytest

from streamgmm.explanation.explaining import gather
from streamgmm.explanation.result import Contribution, by_kind_and_band
from streamgmm.features.bank import band_limits_hz
from streamgmm.features.window import n_features, window_layout
from tests.model.model_rig import SPEC


def part(kind: str, bands: tuple[int, ...], nats: float) -> Contribution:
    return Contribution(kind=kind, bands=bands, low_hz=0.0, high_hz=1.0, nats=nats)


def test_features_of_several_bands_are_spread_and_those_of_all_bands_are_separate():
    parts = [part("shape", (1,), 2.0), part("rhythm", (0, 1, 2, 3), -5.0), part("rhythm", (1, 3), 3.0)]
    kinds, table = by_kind_and_band([*parts, part("shape", (3,), 1.0)], 4)
    assert kinds == ["shape", "rhythm"]
    assert table.tolist() == [[0.0, 2.0, 0.0, 1.0, 0.0], [0.0, 1.5, 0.0, 1.5, -5.0]]


def test_gathered_parts_are_the_sums_over_scales_and_lags():
    values = np.random.default_rng(0).normal(size=n_features(SPEC))
    parts = gather(values, SPEC)
    assert len({(one.kind, one.bands) for one in parts}) == len(parts)
    places = [(block.kind, place) for block in window_layout(SPEC) for place in block.bands]
    for one in parts:
        expected = sum(value for value, place in zip(values, places, strict=True) if place == (one.kind, one.bands))
        assert one.nats == pytest.approx(expected)
        assert [one.low_hz, one.high_hz] == band_limits_hz(SPEC)[[one.bands[0], one.bands[-1] + 1]].tolist()
