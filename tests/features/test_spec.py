"""The numbers of the features: whole multiples of each other, and no nonsense."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.features.spec import FeatureSpec


@given(
    sample_rate_hz=st.integers(1000, 192000),
    hop_s=st.floats(0.016, 0.5),
    window_s=st.floats(0.5, 10.0),
)
def test_each_length_is_a_whole_number_of_the_shorter_one(sample_rate_hz, hop_s, window_s) -> None:
    spec = FeatureSpec(sample_rate_hz=sample_rate_hz, hop_s=hop_s, window_s=window_s, min_hz=30.0)
    fine = spec.fine_samples
    assert fine & (fine - 1) == 0
    assert fine <= 0.0041 * sample_rate_hz < 2 * fine
    assert spec.frame_samples == 4 * fine
    assert spec.hop_samples == spec.hop_frames * spec.frame_samples
    assert spec.window_samples == spec.window_frames * spec.frame_samples
    assert spec.window_samples % spec.hop_samples == 0
    assert spec.window_samples >= spec.hop_samples > 0


@given(sample_rate_hz=st.integers(8000, 48000), hop_s=st.floats(0.016, 0.5), window_s=st.floats(0.5, 10.0))
def test_lengths_are_those_asked_for_to_half_a_unit(sample_rate_hz, hop_s, window_s) -> None:
    spec = FeatureSpec(sample_rate_hz=sample_rate_hz, hop_s=hop_s, window_s=window_s)
    assert abs(spec.hop_samples - hop_s * sample_rate_hz) <= spec.frame_samples / 2 + 1e-6
    assert abs(spec.window_samples - window_s * sample_rate_hz) <= spec.hop_samples / 2 + 1e-6


@pytest.mark.parametrize(("sample_rate_hz", "fine_samples"), [(8000, 32), (16000, 64), (22050, 64), (44100, 128)])
def test_the_fine_grid(sample_rate_hz, fine_samples) -> None:
    assert FeatureSpec(sample_rate_hz=sample_rate_hz).fine_samples == fine_samples


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"min_hz": 2000.0}, "min_hz"),
        ({"hop_s": 1.5}, "hop_s"),
        ({"window_s": 0.05}, "window_s"),
        ({"hop_s": 0.001}, "hop_s"),
        ({"n_bands": 4}, "n_bands"),
        ({"n_bands": 4096}, "n_bands"),
        ({"sample_rate_hz": 10**9}, "sample_rate_hz"),
        ({"sample_rate_hz": 0}, "sample_rate_hz"),
        ({"wavelet": "db4"}, "wavelet"),
        ({"modulation_wavelet": "sym5"}, "modulation_wavelet"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_D10_a_spec_that_makes_no_sense_is_refused_by_name(changes, names) -> None:
    with pytest.raises(msgspec.ValidationError, match=names):
        msgspec.convert({"sample_rate_hz": 8000} | changes, FeatureSpec)


def test_a_spec_survives_json() -> None:
    spec = FeatureSpec(sample_rate_hz=22050, hop_s=0.05, n_bands=24)
    assert msgspec.json.decode(msgspec.json.encode(spec), type=FeatureSpec) == spec
