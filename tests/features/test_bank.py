"""The wavelets against PyWavelets' own, evaluated under another name and scale."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import pywt

from streamgmm.features import bank
from streamgmm.features.spec import FeatureSpec
from tests import oracles

RATES_HZ = [8000, 16000, 22050, 44100, 48000]


def bands_of(sample_rate_hz: int, **changes) -> tuple[bank.Band, ...]:
    return bank.design_bands(FeatureSpec(sample_rate_hz=sample_rate_hz, **changes))


def pywt_wavelet(band: bank.Band, sample_rate_hz: int, cycles_per_unit: float) -> tuple[pywt.ContinuousWavelet, float]:
    """The band's wavelet as `cmorB-C` with C = `cycles_per_unit`, and its scale in samples."""
    scale_samples = cycles_per_unit * sample_rate_hz / band.centre_hz
    sigma_samples = sample_rate_hz / (2 * math.pi * band.sigma_hz)
    bandwidth = 2.0 * (sigma_samples / scale_samples) ** 2
    return pywt.ContinuousWavelet(f"cmor{bandwidth:.12f}-{cycles_per_unit:.12f}"), scale_samples


@pytest.mark.parametrize("sample_rate_hz", RATES_HZ)
def test_filters_are_the_complex_morlet_of_pywavelets(sample_rate_hz) -> None:
    for band in bands_of(sample_rate_hz):
        psi = bank.morlet(band, sample_rate_hz)
        wavelet, scale_samples = pywt_wavelet(band, sample_rate_hz, cycles_per_unit=1.7)
        wavelet.upper_bound = len(psi) // 2 / scale_samples
        wavelet.lower_bound = -wavelet.upper_bound
        expected, _ = wavelet.wavefun(length=len(psi))
        # PyWavelets keeps B, C and the bounds in single precision.
        np.testing.assert_allclose(psi, expected / 1.7, atol=1e-5 * abs(psi).max())


@pytest.mark.parametrize("sample_rate_hz", [8000, 44100])
@pytest.mark.parametrize("i_band", [8, 16, 31])
def test_filters_are_the_impulse_response_of_pywt_cwt(sample_rate_hz, i_band) -> None:
    band = bands_of(sample_rate_hz)[i_band]
    psi = bank.morlet(band, sample_rate_hz)
    wavelet, scale_samples = pywt_wavelet(band, sample_rate_hz, cycles_per_unit=2.0)
    impulse = np.zeros(4 * len(psi) + 1)
    impulse[2 * len(psi)] = 1.0
    response = pywt.cwt(impulse, [scale_samples], wavelet, method="conv", precision=16)[0][0]
    response = response[2 * len(psi) - len(psi) // 2 :][: len(psi)]
    similarity = abs(np.vdot(response, psi)) / np.linalg.norm(response) / np.linalg.norm(psi)
    # pywt.cwt integrates the wavelet over each sample, which differs most at the highest frequencies.
    assert similarity > 0.999


@pytest.mark.parametrize("sample_rate_hz", RATES_HZ)
def test_A15_filters_have_zero_mean(sample_rate_hz) -> None:
    for band in bands_of(sample_rate_hz):
        psi = bank.analysis_filter(band, sample_rate_hz)
        assert abs(psi.sum()) < 1e-12 * np.abs(psi).sum()


@pytest.mark.parametrize("sample_rate_hz", RATES_HZ)
def test_a_full_scale_cosine_at_the_centre_has_magnitude_one(sample_rate_hz) -> None:
    for band in bands_of(sample_rate_hz):
        psi = bank.analysis_filter(band, sample_rate_hz)
        # Half of a cosine turns one way, half the other; the analytic filter hears one of them.
        assert oracles.dft_gain(psi, band.centre_hz, sample_rate_hz) == pytest.approx(2.0, abs=1e-9)
        assert len(psi) == bank.n_taps(band, sample_rate_hz)
        assert len(psi) % 2 == 1
        np.testing.assert_allclose(psi[::-1], psi.conj(), atol=1e-12)


@pytest.mark.parametrize("sample_rate_hz", RATES_HZ)
def test_filters_are_analytic_and_fall_off_with_their_sigma(sample_rate_hz) -> None:
    for band in bands_of(sample_rate_hz)[12:28]:
        psi = bank.analysis_filter(band, sample_rate_hz)
        assert oracles.dft_gain(psi, -band.centre_hz, sample_rate_hz) < 0.05
        one_sigma = oracles.dft_gain(psi, band.centre_hz + band.sigma_hz, sample_rate_hz)
        assert one_sigma == pytest.approx(2 * math.exp(-0.5), rel=0.05)


@pytest.mark.parametrize("sample_rate_hz", RATES_HZ)
@pytest.mark.parametrize("n_bands", [8, 32, 47])
def test_bands_rise_evenly_on_the_mel_scale(sample_rate_hz, n_bands) -> None:
    bands = bands_of(sample_rate_hz, n_bands=n_bands)
    mels = [bank.hz_to_mel(band.centre_hz) for band in bands]
    assert len(bands) == n_bands
    assert bands[0].centre_hz == pytest.approx(30.0)
    assert bands[-1].centre_hz == pytest.approx(0.985 * sample_rate_hz / 2)
    np.testing.assert_allclose(np.diff(mels), (mels[-1] - mels[0]) / (n_bands - 1))
    assert min(band.sigma_hz for band in bands) >= 25.0
    np.testing.assert_allclose(bank.mel_to_hz(np.array(mels)), [band.centre_hz for band in bands])


@pytest.mark.parametrize("sample_rate_hz", RATES_HZ)
def test_a_band_is_computed_often_enough(sample_rate_hz) -> None:
    fine_samples = FeatureSpec(sample_rate_hz=sample_rate_hz).fine_samples
    for band in bands_of(sample_rate_hz):
        assert fine_samples % band.decimation == 0
        is_enough = sample_rate_hz / band.decimation >= 4.0 * band.sigma_hz
        assert is_enough or band.decimation == 1
        assert band.decimation == fine_samples or sample_rate_hz / (2 * band.decimation) < 4.0 * band.sigma_hz


@pytest.mark.parametrize("sample_rate_hz", RATES_HZ)
def test_groups_hold_every_band_once_and_in_order(sample_rate_hz) -> None:
    spec = FeatureSpec(sample_rate_hz=sample_rate_hz)
    bands, first_band = bank.design_bands(spec), 0
    for group in bank.group_bands(spec):
        assert group.first_band == first_band
        for column in group.taps.T:
            psi = bank.analysis_filter(bands[first_band], sample_rate_hz)
            margin = (len(column) - len(psi)) // 2
            np.testing.assert_array_equal(column[margin : margin + len(psi)], psi.conj())
            assert np.count_nonzero(column) <= len(psi)
            assert bands[first_band].decimation == group.decimation
            first_band += 1
    assert first_band == len(bands)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_wavelets_are_those_of_pywavelets_at_the_same_points(rate_hz: int) -> None:
    for band in bank.design_bands(FeatureSpec(sample_rate_hz=rate_hz)):
        bandwidth = 2.0 * (band.centre_hz / (2.0 * np.pi * band.sigma_hz)) ** 2
        wavelet = pywt.ContinuousWavelet(f"cmor{bandwidth!r}-1.0")
        length = bank.n_taps(band, rate_hz)
        wavelet.upper_bound = (length // 2) * band.centre_hz / rate_hz
        wavelet.lower_bound = -wavelet.upper_bound
        np.testing.assert_allclose(bank.morlet(band, rate_hz), wavelet.wavefun(length=length)[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("sample_rate_hz", RATES_HZ)
def test_bands_meet_halfway_on_the_mel_scale(sample_rate_hz) -> None:
    centres_hz = [band.centre_hz for band in bands_of(sample_rate_hz)]
    limits_hz = bank.band_limits_hz(FeatureSpec(sample_rate_hz=sample_rate_hz))
    assert len(limits_hz) == len(centres_hz) + 1
    assert (limits_hz[0] >= 0.0, limits_hz[-1] <= sample_rate_hz / 2) == (True, True)
    for low_hz, centre_hz, high_hz in zip(limits_hz[:-1], centres_hz, limits_hz[1:], strict=True):
        assert low_hz < centre_hz < high_hz
    mels = [bank.hz_to_mel(centre_hz) for centre_hz in centres_hz]
    halfway = [(low + high) / 2 for low, high in pairwise(mels)]
    assert [bank.hz_to_mel(limit_hz) for limit_hz in limits_hz[1:-1]] == pytest.approx(halfway)
