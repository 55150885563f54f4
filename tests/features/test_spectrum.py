"""The spectrum that people look at: where a tone is, and how loud the window is."""

from __future__ import annotations

import numpy as np
import pytest

from streamgmm.features.bank import design_bands
from streamgmm.features.extractor import extract
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.spectrum import band_levels_db

SPEC = FeatureSpec(sample_rate_hz=16000)


def spectrum_of(samples: np.ndarray) -> tuple[np.ndarray, float]:
    features = extract(samples.astype(np.float32), SPEC)
    level_dbfs = float(features.window_levels_dbfs[-1])
    return np.array(band_levels_db(features.vectors[-1].astype(np.float64), SPEC, level_dbfs)), level_dbfs


@pytest.mark.parametrize("frequency_hz", [200.0, 1000.0, 4000.0])
def test_a_tone_is_loudest_in_its_band(frequency_hz: float) -> None:
    tone = 0.1 * np.sin(2.0 * np.pi * frequency_hz * np.arange(32000) / SPEC.sample_rate_hz)
    levels_db, level_dbfs = spectrum_of(tone)
    centres_hz = np.array([band.centre_hz for band in design_bands(SPEC)])
    assert len(levels_db) == SPEC.n_bands
    assert abs(int(levels_db.argmax()) - int(np.abs(np.log(centres_hz / frequency_hz)).argmin())) <= 1
    assert levels_db.max() < level_dbfs + 0.5


@pytest.mark.parametrize("gain_db", [0.0, -20.0, -40.0])
def test_the_bands_together_have_the_level_of_the_window(gain_db: float) -> None:
    noise = 10.0 ** (gain_db / 20.0) * 0.1 * np.random.default_rng(1).standard_normal(32000)
    levels_db, level_dbfs = spectrum_of(noise)
    assert 10.0 * np.log10(np.sum(10.0 ** (levels_db / 10.0))) == pytest.approx(level_dbfs, abs=0.5)
