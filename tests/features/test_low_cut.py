"""The high-pass below the lowest band: scipy's Butterworth filter, without a click where a stream begins."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from streamgmm.features.low_cut import CUTOFF_SHARE, ORDER, LowCut, low_cut
from streamgmm.features.spec import FeatureSpec

SPECS = [
    FeatureSpec(sample_rate_hz=8000),
    FeatureSpec(sample_rate_hz=16000),
    FeatureSpec(sample_rate_hz=16000, hop_s=0.016),
    FeatureSpec(sample_rate_hz=44100, min_hz=100.0),
    FeatureSpec(sample_rate_hz=48000, min_hz=4000.0, hop_s=0.5),
    FeatureSpec(sample_rate_hz=192000, min_hz=5.0),
]


def butterworth(samples: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    cutoff_hz = CUTOFF_SHARE * spec.min_hz
    filtered: np.ndarray = sosfilt(butter(ORDER, cutoff_hz, "highpass", fs=spec.sample_rate_hz, output="sos"), samples)
    return filtered


def level_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-30))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_it_is_the_butterworth_filter_of_scipy(spec) -> None:
    # Begun with silence, so that no state is fitted, and both filters begin alike.
    noise = np.random.default_rng(0).normal(0.0, 0.1, 4 * spec.hop_samples)
    samples = np.concatenate([np.zeros(spec.hop_samples), noise]).astype(np.float32)
    assert low_cut(samples, spec) == pytest.approx(butterworth(samples.astype(np.float64), spec), abs=1e-6)


def test_hops_are_one_stream() -> None:
    spec = SPECS[1]
    samples = np.random.default_rng(1).normal(size=5 * spec.hop_samples).astype(np.float32)
    stream = LowCut(spec)
    hops = [stream.push_hop(hop) for hop in samples.reshape(5, -1)]
    assert np.concatenate(hops).tobytes() == low_cut(samples, spec).tobytes()
    stream.reset()
    assert stream.push_hop(samples[: spec.hop_samples]).tobytes() == hops[0].tobytes()


@pytest.mark.parametrize(
    ("frequency_hz", "lowest_db", "highest_db"), [(1000, -0.1, 0.1), (60, -0.2, 0.1), (30, -0.5, 0.0), (10, -90, -55)]
)
def test_what_is_left_of_a_tone(frequency_hz, lowest_db, highest_db) -> None:
    spec = FeatureSpec(sample_rate_hz=16000)
    tone = np.sin(2 * np.pi * frequency_hz * np.arange(64000) / 16000 + 0.7).astype(np.float32)
    heard = low_cut(tone, spec)
    assert lowest_db < level_db(heard[16000:]) - level_db(tone[16000:]) < highest_db


@pytest.mark.parametrize("degree", range(4))
def test_a_stream_that_begins_in_a_slow_movement_begins_without_a_click(degree) -> None:
    spec = FeatureSpec(sample_rate_hz=16000)
    movement = (0.2 + np.linspace(0.0, 0.8, 16000) ** degree).astype(np.float32)
    assert level_db(low_cut(movement, spec)) < -100.0
    assert level_db(butterworth(movement, spec)) > -50.0


def test_a_sound_at_the_beginning_keeps_its_level() -> None:
    spec = FeatureSpec(sample_rate_hz=16000)
    bang = np.random.default_rng(2).normal(0.0, 0.1, 8000).astype(np.float32)
    assert level_db(low_cut(bang, spec)[:2048]) == pytest.approx(level_db(bang[:2048]), abs=0.3)


@pytest.mark.parametrize("rest", [0.0, 1e-4])
def test_digital_silence_behind_a_sound_is_silent_at_once(rest) -> None:
    spec = FeatureSpec(sample_rate_hz=16000)
    sound = np.random.default_rng(4).normal(0.0, 0.1, 8192)
    samples = np.append(sound, np.full(8192, rest)).astype(np.float32)
    assert not low_cut(samples, spec)[8192:].any()
    faint = samples + np.random.default_rng(5).normal(0.0, 1e-5, samples.size).astype(np.float32)
    assert low_cut(faint, spec)[8192:].all()


@pytest.mark.parametrize("n_samples", [0, 1, 2047, 2048, 5000])
def test_as_many_samples_come_out_as_went_in(n_samples) -> None:
    assert low_cut(np.ones(n_samples, dtype=np.float32), FeatureSpec(sample_rate_hz=16000)).shape == (n_samples,)
