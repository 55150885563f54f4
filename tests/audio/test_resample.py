"""Resampling as a stream: same bits however the input is cut, right length, right frequency."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgmm.audio.resample import Resampler, resample

NOISE = np.random.default_rng(1).uniform(-0.5, 0.5, 12_000).astype(np.float32)


def stream(samples, from_hz, to_hz, cuts):
    resampler = Resampler(from_hz, to_hz)
    pieces = [resampler.push(piece) for piece in np.split(samples, cuts)]
    return np.concatenate([*pieces, resampler.push(samples[:0], last=True)])


@settings(max_examples=30, deadline=None)
@given(
    rates=st.sampled_from([(44100, 16000), (48000, 16000), (16000, 44100), (8000, 16000), (16000, 16000)]),
    cuts=st.lists(st.integers(0, NOISE.size), max_size=40).map(sorted),
)
def test_stream_is_bit_identical_whatever_the_blocks(rates, cuts):
    from_hz, to_hz = rates
    assert stream(NOISE, from_hz, to_hz, cuts).tobytes() == resample(NOISE, from_hz, to_hz).tobytes()


def test_same_rate_passes_untouched():
    assert resample(NOISE, 16000, 16000) is NOISE


@pytest.mark.parametrize(("from_hz", "to_hz"), [(44100, 16000), (16000, 48000), (22050, 16000)])
def test_length_and_tone_are_kept(from_hz, to_hz):
    n_seconds, tone_hz = 2, 1000
    tone = np.sin(2 * np.pi * tone_hz * np.arange(n_seconds * from_hz) / from_hz).astype(np.float32)
    expected = np.sin(2 * np.pi * tone_hz * np.arange(n_seconds * to_hz) / to_hz)
    resampled = resample(tone, from_hz, to_hz)
    assert resampled.dtype == np.float32
    assert resampled.size == n_seconds * to_hz
    middle = slice(to_hz // 2, -to_hz // 2)
    np.testing.assert_allclose(resampled[middle], expected[middle], atol=1e-4)


def test_last_begins_anew():
    resampler = Resampler(44100, 16000)
    first = resampler.push(NOISE, last=True)
    assert resampler.push(NOISE, last=True).tobytes() == first.tobytes()


def test_A17_nan_is_forgotten_again():
    samples = np.zeros(4 * 44100, np.float32)
    samples[44100] = np.nan
    bad = np.flatnonzero(np.isnan(resample(samples, 44100, 16000)))
    assert bad.size
    assert 16000 - 3200 < bad[0] <= 16000 <= bad[-1] < 16000 + 3200


@pytest.mark.parametrize(("from_hz", "to_hz"), [(44100, 16000), (48000, 16000), (8000, 16000), (11025, 48000)])
@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_an_offset_begins_and_ends_without_a_click(from_hz, to_hz, slope):
    times_s = np.arange(from_hz + 77) / from_hz
    resampled = resample((0.3 + slope * times_s).astype(np.float32), from_hz, to_hz)
    expected = 0.3 + slope * np.arange(resampled.size) / to_hz
    np.testing.assert_allclose(resampled, expected, atol=2e-5 + slope / from_hz)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(44100, 16000), (22050, 16000), (8000, 44100), (384000, 8000)])
@pytest.mark.parametrize("n_samples", [0, 1, 7, 1000, 12_345])
def test_the_length_is_the_nearest(from_hz, to_hz, n_samples):
    assert abs(resample(np.ones(n_samples, np.float32), from_hz, to_hz).size - n_samples * to_hz / from_hz) <= 0.5
