"""The streaming transform against plain convolutions with the same wavelets."""

from __future__ import annotations

import numpy as np
import pytest

from streamgmm.features import bank
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.transform import LAGS_PER_INVERSE_SIGMA, HopEnergies, WaveletTransform
from tests import oracles

SPECS = [
    FeatureSpec(sample_rate_hz=8000, hop_s=0.05, window_s=0.5, n_bands=12),
    FeatureSpec(sample_rate_hz=16000),
    FeatureSpec(sample_rate_hz=44100, hop_s=0.03, n_bands=20),
]
N_HOPS = 5


def make_samples(spec: FeatureSpec, n_hops: int = N_HOPS) -> np.ndarray:
    return 0.1 * np.random.default_rng(3).normal(size=n_hops * spec.hop_samples)


def transform_all(transform: WaveletTransform, samples) -> list[HopEnergies]:
    return [transform.push_hop(hop) for hop in samples.reshape(-1, transform.spec.hop_samples)]


def oracle_coefficients(spec: FeatureSpec, samples, delay_samples: int) -> list[np.ndarray]:
    return [
        oracles.coefficients(samples, bank.analysis_filter(band, spec.sample_rate_hz), band.decimation, delay_samples)
        for band in bank.design_bands(spec)
    ]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.sample_rate_hz}")
def test_energies_are_those_of_a_plain_convolution(spec) -> None:
    samples = make_samples(spec)
    transform = WaveletTransform(spec, np.float64)
    energies = np.concatenate([hop.energies for hop in transform_all(transform, samples)])
    plain = oracle_coefficients(spec, samples, transform.delay_samples)
    for i, band in enumerate(transform.bands):
        expected = oracles.block_means(np.abs(plain[i]) ** 2, spec.fine_samples // band.decimation)
        np.testing.assert_allclose(energies[:, i], expected, rtol=1e-9, atol=1e-12)


def test_the_oracle_of_convolutions_agrees_with_a_loop() -> None:
    spec = SPECS[0]
    samples = make_samples(spec, 2)
    band = bank.design_bands(spec)[5]
    psi = bank.analysis_filter(band, spec.sample_rate_hz)
    values = oracles.coefficients(samples, psi, band.decimation, 140)
    for k in (0, 3, 9, len(values) - 1):
        assert values[k] == pytest.approx(oracles.correlate_at(samples, psi, k * band.decimation - 140), abs=1e-12)


@pytest.mark.parametrize("spec", SPECS[:2], ids=lambda spec: f"{spec.sample_rate_hz}")
def test_powers_and_coherences_are_plain_sums(spec) -> None:
    samples = make_samples(spec)
    transform = WaveletTransform(spec, np.float64)
    hops = transform_all(transform, samples)
    plain = oracle_coefficients(spec, samples, transform.delay_samples)
    for group in bank.group_bands(spec):
        n_bands = group.taps.shape[1]
        middle = transform.bands[group.first_band + n_bands // 2]
        for i in range(group.first_band, group.first_band + n_bands):
            n = spec.hop_samples // group.decimation
            for i_hop, hop in enumerate(hops):
                own = plain[i][i_hop * n : (i_hop + 1) * n]
                assert hop.powers[i] == pytest.approx(sum(abs(c) ** 2 for c in own), rel=1e-9)
                for i_lag, factor in enumerate(LAGS_PER_INVERSE_SIGMA):
                    lag = max(1, round(factor / middle.sigma_hz * spec.sample_rate_hz / group.decimation))
                    expected = oracles.coherence(plain[i], lag, i_hop * n, (i_hop + 1) * n)
                    assert hop.coherences[i_lag, i] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_float32_is_float64_to_single_precision() -> None:
    spec = SPECS[1]
    samples = make_samples(spec).astype(np.float32)
    single, double = (transform_all(WaveletTransform(spec, dtype), samples) for dtype in (np.float32, np.float64))
    for left, right in zip(single, double, strict=True):
        assert left.energies.dtype == np.float32
        np.testing.assert_allclose(left.energies, right.energies, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("i_band", [4, 15, 27])
def test_a_full_scale_cosine_has_energy_one_in_its_band(i_band) -> None:
    spec = SPECS[1]
    centre_hz = bank.design_bands(spec)[i_band].centre_hz
    times_s = np.arange(N_HOPS * spec.hop_samples) / spec.sample_rate_hz
    hops = transform_all(WaveletTransform(spec, np.float64), np.cos(2 * np.pi * centre_hz * times_s))
    assert hops[-1].energies[:, i_band].mean() == pytest.approx(1.0, abs=0.01)
    assert hops[-1].energies.mean(axis=0).argmax() == i_band


@pytest.mark.parametrize("hop_s", [0.016, 0.05, 0.12])
def test_A17_a_sample_is_felt_no_later_than_memory_samples(hop_s) -> None:
    spec = FeatureSpec(sample_rate_hz=8000, hop_s=hop_s, window_s=0.5)
    clean = make_samples(spec, 16)
    spoilt = clean.copy()
    spoilt[2 * spec.hop_samples - 1] += 1.0
    transform = WaveletTransform(spec, np.float64)
    before = transform_all(transform, clean)
    transform.reset()
    after = transform_all(transform, spoilt)
    is_felt = [
        not (np.array_equal(left.energies, right.energies) and np.array_equal(left.coherences, right.coherences))
        for left, right in zip(before, after, strict=True)
    ]
    last = (2 * spec.hop_samples - 1 + transform.memory_samples) // spec.hop_samples
    # The last hop that could feel it may just miss it: coefficients are decimated.
    assert last - 1 <= max(np.flatnonzero(is_felt)) <= last


def test_reset_forgets_all_samples() -> None:
    spec = SPECS[0]
    samples = make_samples(spec)
    transform = WaveletTransform(spec)
    first = transform_all(transform, samples)
    transform.reset()
    for left, right in zip(first, transform_all(transform, samples), strict=True):
        np.testing.assert_array_equal(left.energies, right.energies)
        np.testing.assert_array_equal(left.coherences, right.coherences)
