"""The analytic wavelet bank: complex Morlet wavelets with mel-spaced centres and finite support.

All features use this one bank. The wavelet is PyWavelets' complex Morlet `cmorB-C`
(psi(t) = exp(-t^2 / B) exp(2 pi i C t) / sqrt(pi B)), stretched so that each band gets
the centre and the width of its place on the mel scale (Teolis, Computational Signal Processing with Wavelets, 1998).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pywt

from streamgmm.arrays import Complex128Array, Float64Array
from streamgmm.features.spec import FeatureSpec

TOP_OF_NYQUIST = 0.985
"""Centre of the highest band relative to half the sample rate."""

MIN_SIGMA_HZ = 25.0
"""Lower limit of the width of a band: narrower wavelets would last over a tenth of a second and smear onsets."""

SUPPORT_SIGMAS = 2.75
"""Wavelets are truncated at this many standard deviations of their envelope (relative amplitude 0.02)."""

RATE_PER_SIGMA = 4.0
"""Minimum number of coefficients per second, per Hz of the standard deviation of a band."""


class Band(NamedTuple):
    """One wavelet of the bank.

    Attributes:
        centre_hz: centre frequency.
        sigma_hz: standard deviation of its Gaussian response.
        decimation: samples per coefficient, a power of two.
    """

    centre_hz: float
    sigma_hz: float
    decimation: int


class BandGroup(NamedTuple):
    """Neighbouring bands that share a decimation, so that one matrix product computes them all.

    Attributes:
        decimation: samples per coefficient.
        taps: complex128, shape (n_taps, n_bands), odd length, centred; `samples @ taps` is the
            correlation of the samples with the conjugated wavelets.
        first_band: index in the bank of the first band.
    """

    decimation: int
    taps: Complex128Array
    first_band: int


def hz_to_mel(frequency_hz: float) -> float:
    """Convert to the mel scale of O'Shaughnessy, Speech Communication, 1987 (natural-logarithm form)."""
    return 1127.0 * math.log1p(frequency_hz / 700.0)


def mel_to_hz(mel: Float64Array) -> Float64Array:
    """Invert `hz_to_mel`, element by element."""
    return 700.0 * np.expm1(mel / 1127.0)


@lru_cache(maxsize=8)
def design_bands(spec: FeatureSpec) -> tuple[Band, ...]:
    """Place `spec.n_bands` bands on the mel scale, lowest first."""
    top_mel = hz_to_mel(TOP_OF_NYQUIST * spec.sample_rate_hz / 2)
    mels = np.linspace(hz_to_mel(spec.min_hz), top_mel, spec.n_bands)
    centres_hz = mel_to_hz(mels)
    half_step = (mels[1] - mels[0]) / 2
    # Half the distance between neighbours, measured across the band itself.
    sigmas_hz = np.maximum(MIN_SIGMA_HZ, (mel_to_hz(mels + half_step) - mel_to_hz(mels - half_step)) / 2)
    each = zip(centres_hz.tolist(), sigmas_hz.tolist(), strict=True)
    return tuple(Band(centre_hz, sigma_hz, _decimation(sigma_hz, spec)) for centre_hz, sigma_hz in each)


def band_limits_hz(spec: FeatureSpec) -> Float64Array:
    """Return the limits between neighbouring bands: halfway between their centres on the mel scale.

    Returns:
        float64, shape (n_bands + 1,), ascending; the outer limits lie half a step beyond the outer centres, clipped to
        0 and Nyquist.
    """
    mels = np.array([hz_to_mel(band.centre_hz) for band in design_bands(spec)])
    half_step = (mels[1] - mels[0]) / 2
    limits_hz = mel_to_hz(np.append(mels - half_step, mels[-1] + half_step))
    return np.clip(limits_hz, 0.0, spec.sample_rate_hz / 2)


def _decimation(sigma_hz: float, spec: FeatureSpec) -> int:
    # Narrow bands change slowly: a lower rate loses little of them and saves time.
    widest = spec.sample_rate_hz / (RATE_PER_SIGMA * sigma_hz)
    # A power of two up to `fine_samples`, so that each point of the fine grid covers a whole number of coefficients.
    return int(min(spec.fine_samples, 2 ** max(0, int(math.log2(max(1.0, widest))))))


def n_taps(band: Band, sample_rate_hz: int) -> int:
    """Return the number of samples of the truncated wavelet of `band`, which is odd."""
    # The standard deviations of a Gaussian in time and of its spectrum (Hz) have the product 1 / (2 pi).
    sigma_s = 1.0 / (2.0 * math.pi * band.sigma_hz)
    return 2 * int(SUPPORT_SIGMAS * sigma_s * sample_rate_hz) + 1


def morlet(band: Band, sample_rate_hz: int) -> Complex128Array:
    """Sample PyWavelets' complex Morlet wavelet of `band`, without the correction of its mean.

    Returns:
        complex128, shape (n_taps,); `cmorB-C` with C = 1 at scale 1 / centre and
        B = 2 (centre / (2 pi sigma))^2, so that its response has the band's sigma.
    """
    length = n_taps(band, sample_rate_hz)
    # The numbers in the name are placeholders; those of the band follow.
    wavelet = pywt.ContinuousWavelet("cmor1.0-1.0")
    wavelet.center_frequency = 1.0
    wavelet.bandwidth_frequency = 2.0 * (band.centre_hz / (2.0 * math.pi * band.sigma_hz)) ** 2
    # In periods of the centre frequency: the unit of time of a wavelet with C = 1.
    edge = (length // 2) * band.centre_hz / sample_rate_hz
    wavelet.lower_bound, wavelet.upper_bound = -edge, edge
    psi, _ = wavelet.wavefun(length=length)
    return np.asarray(psi, dtype=np.complex128)


def analysis_filter(band: Band, sample_rate_hz: int) -> Complex128Array:
    """Return the wavelet that filters the samples: zero mean, and gain 1 for a cosine at the centre.

    Truncation and low centre frequencies leave a Morlet wavelet with a small mean, which would pass a DC
    offset. Subtracting a multiple of its envelope removes the mean (the admissibility term of Grossmann and
    Morlet, 1984).

    Returns:
        complex128, shape (n_taps,).
    """
    psi = morlet(band, sample_rate_hz)
    envelope = np.abs(psi)
    psi = psi - envelope * (psi.sum() / envelope.sum())
    positions = np.arange(len(psi)) - len(psi) // 2
    # Normalised by its measured response: truncation changes the gain slightly.
    tone = np.exp(2j * math.pi * band.centre_hz / sample_rate_hz * positions)
    # A real cosine has half of its amplitude at the positive frequency, hence the factor 2.
    return np.asarray(psi * (2.0 / abs(np.vdot(psi, tone))), dtype=np.complex128)


@lru_cache(maxsize=8)
def group_bands(spec: FeatureSpec) -> tuple[BandGroup, ...]:
    """Return the taps of the whole bank, grouped by decimation, lowest bands first; cached for each `spec`."""
    bands = design_bands(spec)
    groups = []
    # Widths never shrink from band to band, so bands of one decimation are neighbours, the largest decimation lowest.
    for decimation in sorted({band.decimation for band in bands}, reverse=True):
        members = [i for i, band in enumerate(bands) if band.decimation == decimation]
        filters = [analysis_filter(bands[i], spec.sample_rate_hz) for i in members]
        taps = np.zeros((max(map(len, filters)), len(filters)), dtype=np.complex128)
        for column, psi in enumerate(filters):
            # Shorter wavelets of the group are padded with zeros: one matrix product needs equal lengths.
            # All lengths are odd, so the centres of the wavelets coincide.
            margin = (len(taps) - len(psi)) // 2
            taps[margin : margin + len(psi), column] = psi.conj()
        # The cache hands the same array to every stream.
        taps.setflags(write=False)
        groups.append(BandGroup(decimation, taps, members[0]))
    return tuple(groups)
