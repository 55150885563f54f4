"""What a kernel is compared with: the features in numpy of real recordings and of noise, within rounding."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import soundfile
import soxr

from streamgmm.features.analysis import HopAnalysis, HopMeasures, NumpyAnalysis
from streamgmm.features.spec import FeatureSpec
from tests.required import corpus

MAX_DEVIATIONS = 1e-3
"""Largest difference to numpy, in standard deviations of a feature over recordings."""


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


def hops_of(spec: FeatureSpec, samples: np.ndarray) -> np.ndarray:
    hops = samples[: len(samples) // spec.hop_samples * spec.hop_samples].reshape(-1, spec.hop_samples)
    return np.ascontiguousarray(hops - hops[0].mean())


def analyse(analysis: HopAnalysis, spec: FeatureSpec, samples: np.ndarray) -> list[HopMeasures]:
    return analysis.push_hops(hops_of(spec, samples), spec.hop_samples)


def vectors_of(measures: list[HopMeasures]) -> np.ndarray:
    return np.array([hop.vector for hop in measures])


@lru_cache(maxsize=32)
def reference(spec: FeatureSpec, make: Callable[[int], np.ndarray]) -> tuple[list[HopMeasures], np.ndarray, np.ndarray]:
    """Return the measures in numpy, the deviation of each feature, and which values float32 determines.

    Some are rounding noise, such as the tonality of a band in which there is next to nothing. Such a value may be near
    that in float64 by chance, but hardly at several levels of the sound.
    """
    samples = make(spec.sample_rate_hz)
    expected = analyse(NumpyAnalysis(spec, has_cepstra=True), spec, samples)
    deviations = vectors_of(analyse(NumpyAnalysis(spec, np.float64), spec, samples)).std(axis=0) + 1e-6
    errors = [
        np.abs(
            vectors_of(analyse(NumpyAnalysis(spec), spec, louder))
            - vectors_of(analyse(NumpyAnalysis(spec, np.float64), spec, louder))
        )
        for louder in (samples, np.float32(0.7) * samples, np.float32(1.3) * samples)
    ]
    return expected, deviations, np.max(errors, axis=0) <= MAX_DEVIATIONS / 10.0 * deviations


def assert_same(found: list[HopMeasures], spec: FeatureSpec, make: Callable[[int], np.ndarray]) -> None:
    """Fail unless the measures, with cepstra, of what `make` returns are those in numpy, within rounding."""
    expected, deviations, is_determined = reference(spec, make)
    errors = np.abs(vectors_of(found) - vectors_of(expected)) / deviations
    assert errors[is_determined].max() <= MAX_DEVIATIONS
    assert is_determined.mean() > 0.98
    assert [len(hop.cepstra) for hop in found] == [len(hop.cepstra) for hop in expected]
    found_frames, expected_frames = (np.concatenate([hop.cepstra for hop in hops]) for hops in (found, expected))
    assert np.abs(found_frames - expected_frames).max() <= MAX_DEVIATIONS * expected_frames.std(axis=0).min()
    for hop, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(hop.squares, other.squares, rtol=1e-3, atol=1e-12)
        squares, expected_squares = (10.0 ** (one.frame_levels_db / 10.0) for one in (hop, other))
        np.testing.assert_allclose(squares, expected_squares, rtol=1e-3, atol=1e-12)
