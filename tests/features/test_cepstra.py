"""Frame vectors against slow plain code: cepstra of the bank's energies less their running mean, and slopes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dct

from streamgmm.features.cepstra import DELAY_FRAMES, CepstralFrames, count_cepstra, n_cepstral_features
from streamgmm.features.extractor import FeatureStream, extract
from streamgmm.features.spec import FeatureSpec

pytestmark = pytest.mark.usefixtures("each_kernel")

SPEC = FeatureSpec(sample_rate_hz=8000, n_bands=20)
SAMPLES = (0.1 * np.random.default_rng(2).normal(size=12_345)).astype(np.float32)


def energies_of(n_hops: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.gamma(1.0, 1e-3, (n_hops, 4 * SPEC.hop_frames, SPEC.n_bands)).astype(np.float32)


def slope(rows: np.ndarray, t: int) -> np.ndarray:
    """Of the straight line fitted by numpy to the seven rows around t; beyond the ends, as if they went on."""
    around = [rows[min(max(t + k, 0), len(rows) - 1)] for k in range(-3, 4)]
    rise, _ = np.polyfit(np.arange(-3, 4), np.array(around), 1)
    return np.asarray(rise)


def expected_vectors(energies: np.ndarray, level: float) -> np.ndarray:
    """Every frame in turn, pauses too, by the definitions."""
    frames = energies.reshape(-1, 4, SPEC.n_bands).astype(np.float64).mean(axis=1) / level
    cepstra = dct(np.log(frames + 1e-6 / SPEC.n_bands), norm="ortho", axis=1)[:, : count_cepstra(SPEC)]
    frame_s = SPEC.frame_samples / SPEC.sample_rate_hz
    keep, total, weight = np.exp(-frame_s / 4.0), 0.0, 1.0 / frame_s
    rows = []
    # Slopes of slopes reach beyond the ends too, so these are continued before and not after the first slope.
    long = np.concatenate([np.repeat(cepstra[:1], 12, axis=0), cepstra, np.repeat(cepstra[-1:], 12, axis=0)])
    slopes = np.array([slope(long, t) for t in range(len(long))])
    for t, cepstrum in enumerate(cepstra):
        total, weight = keep * total + cepstrum, keep * weight + 1.0
        rows.append(np.concatenate([cepstrum - total / weight, slopes[t + 12], slope(slopes, t + 12)]))
    return np.array(rows)


def test_vectors_are_those_of_the_definition() -> None:
    energies, level = energies_of(5), 0.02
    vectors = CepstralFrames(SPEC)
    found = np.concatenate([*(vectors.push(hop, level) for hop in energies), vectors.flush()])
    expected = expected_vectors(energies, level)
    assert found.shape == (len(expected), n_cepstral_features(SPEC))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_frame_is_told_when_the_slopes_of_its_slopes_are_known() -> None:
    energies = energies_of(3)
    vectors = CepstralFrames(SPEC)
    lengths = [len(vectors.push(hop, 0.02)) for hop in energies]
    assert lengths == [SPEC.hop_frames - DELAY_FRAMES, SPEC.hop_frames, SPEC.hop_frames]
    assert len(vectors.flush()) == DELAY_FRAMES


def test_pauses_make_no_vectors() -> None:
    energies = energies_of(2)
    energies[0, 4:8] *= 1e-4  # the second frame
    vectors = CepstralFrames(SPEC)
    found = np.concatenate([*(vectors.push(hop, 0.02) for hop in energies), vectors.flush()])
    expected = np.delete(expected_vectors(energies, 0.02), 1, axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_A19_silence_makes_none_and_does_no_harm() -> None:
    vectors = CepstralFrames(SPEC)
    assert len(vectors.push(np.zeros_like(energies_of(1)[0]), 0.0)) == 0
    assert np.isfinite(vectors.push(energies_of(1)[0], 0.02)).all()


def test_nothing_heard_leaves_nothing_to_flush() -> None:
    assert CepstralFrames(SPEC).flush().shape == (0, n_cepstral_features(SPEC))


@pytest.mark.parametrize("n_bands", [8, 16, 32])
def test_few_bands_have_no_more_cepstra_than_bands(n_bands: int) -> None:
    spec = FeatureSpec(sample_rate_hz=8000, n_bands=n_bands)
    assert extract(SAMPLES, spec, has_cepstra=True).cepstra.shape[1] == 3 * min(16, n_bands)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, SAMPLES.size), max_size=12))
def test_streams_are_bit_identical_for_any_block_sizes(cuts: list[int]) -> None:
    stream = FeatureStream(SPEC, has_cepstra=True)
    frames = [frame for block in np.split(SAMPLES, sorted(cuts)) for frame in stream.push(block)] + stream.flush()
    whole = extract(SAMPLES, SPEC, has_cepstra=True)
    assert b"".join(frame.cepstra.tobytes() for frame in frames) == whole.cepstra.tobytes()
    assert [len(frame.cepstra) for frame in frames] == whole.n_frames.tolist()


@pytest.mark.parametrize("gain", [0.1, 10.0])
def test_vectors_do_not_depend_on_the_gain(gain: float) -> None:
    vectors = extract(SAMPLES, SPEC, has_cepstra=True).cepstra
    louder = extract(SAMPLES * np.float32(gain), SPEC, has_cepstra=True).cepstra
    np.testing.assert_allclose(louder, vectors, atol=1e-3)


def test_A17_hops_that_lack_a_sample_have_no_frames() -> None:
    spoilt = SAMPLES.copy()
    spoilt[3 * SPEC.hop_samples] = np.nan
    frames = FeatureStream(SPEC, has_cepstra=True).push(spoilt)
    assert all((frame.vector is not None) or (len(frame.cepstra) == 0) for frame in frames)
    assert frames[2].vector is not None
    assert frames[3].vector is None


def test_shares_of_the_window_grow_to_one_and_start_anew_after_a_loss() -> None:
    stream = FeatureStream(SPEC)
    n = SPEC.window_samples // SPEC.hop_samples
    shares = [frame.window_share for frame in stream.push(SAMPLES)]
    assert shares[: n + 1] == pytest.approx([*(k / n for k in range(1, n + 1)), 1.0])
    stream.forget()
    assert stream.push(SAMPLES)[0].window_share == pytest.approx(1 / n)
