"""The compiled kernel against numpy: the same features within rounding, for real recordings and for noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import soundfile
import soxr

from streamgmm.features.analysis import HopAnalysis, HopMeasures, NumpyAnalysis
from streamgmm.features.kernel.analysis import KernelAnalysis
from streamgmm.features.kernel.library import NUMPY, VARIABLE, Kernel, find_kernel, kernel_names
from streamgmm.features.spec import FeatureSpec
from tests.required import corpus, require_or_skip

RATES_HZ = [8000, 16000, 22050, 44100, 48000]
LEVELS = [name for name in kernel_names() if name != NUMPY]
MAX_DEVIATIONS = 1e-3
"""Largest difference to numpy, in standard deviations of a feature over recordings."""


@pytest.fixture(params=LEVELS or [NUMPY])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """Each level of the kernel in turn."""
    if request.param == NUMPY:
        require_or_skip("kernel", "it was not built: pip install -e .")
    monkeypatch.setenv(VARIABLE, request.param)
    found = find_kernel()
    assert found is not None
    return found


@lru_cache(maxsize=8)
def recordings(rate_hz: int) -> np.ndarray:
    """Two seconds each of real recordings of every kind, one after the other."""
    paths = (
        sorted((corpus("esc10") / "audio").rglob("*.*"))[::40] + sorted((corpus("fsdd") / "audio").rglob("*.wav"))[:2]
    )
    parts = []
    for path in paths:
        samples, own_rate_hz = soundfile.read(path, frames=100_000, dtype="float32", always_2d=True)
        parts.append(soxr.resample(samples[:, 0], own_rate_hz, rate_hz)[: 2 * rate_hz])
    return np.asarray(np.concatenate(parts), dtype=np.float32)


def noise(rate_hz: int) -> np.ndarray:
    """Noise that comes and goes."""
    n = 6 * rate_hz
    swell = np.abs(np.sin(np.arange(n) / rate_hz * 3.0)) ** 3
    return np.asarray(0.1 * np.random.default_rng(5).normal(size=n) * swell, dtype=np.float32)


def analyse(analysis: HopAnalysis, spec: FeatureSpec, samples: np.ndarray) -> list[HopMeasures]:
    hops = samples[: len(samples) // spec.hop_samples * spec.hop_samples].reshape(-1, spec.hop_samples)
    return analysis.push_hops(hops - hops[0].mean(), spec.hop_samples)


def vectors_of(measures: list[HopMeasures]) -> np.ndarray:
    return np.array([hop.vector for hop in measures])


def assert_same(kernel: Kernel, spec: FeatureSpec, samples: np.ndarray) -> None:
    found = analyse(KernelAnalysis(kernel, spec, has_cepstra=True), spec, samples)
    expected = analyse(NumpyAnalysis(spec, has_cepstra=True), spec, samples)
    exact = vectors_of(analyse(NumpyAnalysis(spec, np.float64), spec, samples))
    deviations = exact.std(axis=0) + 1e-6
    # Some features are rounding noise in float32, such as the tonality of a band in which there is next to nothing.
    is_determined = np.abs(vectors_of(expected) - exact) <= MAX_DEVIATIONS / 10.0 * deviations
    errors = np.abs(vectors_of(found) - vectors_of(expected)) / deviations
    assert errors[is_determined].max() <= MAX_DEVIATIONS
    assert is_determined.mean() > 0.98
    assert [len(hop.cepstra) for hop in found] == [len(hop.cepstra) for hop in expected]
    found_frames, expected_frames = (np.concatenate([hop.cepstra for hop in hops]) for hops in (found, expected))
    assert np.abs(found_frames - expected_frames).max() <= MAX_DEVIATIONS * expected_frames.std(axis=0).min()
    for hop, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(hop.frame_squares, reference.frame_squares, rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize("window_s", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_recordings_have_the_features_of_numpy(kernel: Kernel, rate_hz: int, window_s: float) -> None:
    assert_same(kernel, FeatureSpec(sample_rate_hz=rate_hz, window_s=window_s), recordings(rate_hz))


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_noise_has_the_features_of_numpy(kernel: Kernel, rate_hz: int) -> None:
    assert_same(kernel, FeatureSpec(sample_rate_hz=rate_hz), noise(rate_hz))
