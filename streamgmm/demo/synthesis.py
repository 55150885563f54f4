"""Building blocks of synthetic sounds: tones, struck bodies, noises, envelopes and rooms.

Signals are float64, shape (n,), until a sound is finished. No frequency exceeds 0.45 of the sample rate, so
that every sound can be made at any rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import fft, signal

from streamgmm import units
from streamgmm.arrays import Float64Array, FloatArray, Samples

HIGHEST_OF_RATE = 0.45
"""Highest frequency made, as a share of the sample rate: below Nyquist by more than a filter's slope."""

LOWEST_AUDIBLE_HZ = 30.0


def time_axis_s(duration_s: float, sample_rate_hz: int) -> Float64Array:
    """Return the times of the samples of `duration_s` seconds, shape (n,)."""
    return np.arange(units.seconds_to_samples(duration_s, sample_rate_hz)) / sample_rate_hz


def harmonics(frequencies_hz: Float64Array, weights: Sequence[float], sample_rate_hz: int) -> Float64Array:
    """Return a tone that follows `frequencies_hz`, with `weights[k]` on its (k+1)-th harmonic.

    Args:
        frequencies_hz: the fundamental at every sample, shape (n,).
        weights: amplitudes of the fundamental and its overtones.
        sample_rate_hz: rate of the result.

    Returns:
        Signal of shape (n,); overtones are silent where they would alias.
    """
    # The integral of the frequency: a change of pitch causes no jump of the phase.
    phases = 2 * np.pi * np.cumsum(frequencies_hz) / sample_rate_hz
    total = np.zeros_like(phases)
    for order, weight in enumerate(weights, start=1):
        is_audible = order * frequencies_hz < HIGHEST_OF_RATE * sample_rate_hz
        total += weight * is_audible * np.sin(order * phases)
    return total


def struck_body(modes_hz: Sequence[float], decays_s: Sequence[float], sample_rate_hz: int) -> Float64Array:
    """Return a body struck once: decaying modes that start together, the higher the softer.

    Args:
        modes_hz: resonances of the body.
        decays_s: time in which each mode falls to 1/e.
        sample_rate_hz: rate of the result.

    Returns:
        Signal that lasts six times the longest decay (-52 dB).
    """
    times_s = time_axis_s(6 * max(decays_s), sample_rate_hz)
    total = np.zeros_like(times_s)
    for mode_hz, decay_s in zip(modes_hz, decays_s, strict=True):
        if mode_hz < HIGHEST_OF_RATE * sample_rate_hz:
            weight = np.sqrt(modes_hz[0] / mode_hz)
            total += weight * np.exp(-times_s / decay_s) * np.sin(2 * np.pi * mode_hz * times_s)
    return total


def band_noise(
    rng: np.random.Generator, n_samples: int, low_hz: float, high_hz: float, sample_rate_hz: int
) -> Float64Array:
    """Return white noise between two frequencies (Butterworth, 12 dB per octave on either side), RMS 1."""
    high_hz = min(high_hz, HIGHEST_OF_RATE * sample_rate_hz)
    # At low sample rates the upper limit comes down, and must not meet the lower one.
    low_hz = min(low_hz, 0.7 * high_hz)
    # Second-order sections, because the polynomials of a narrow low band lose too many digits.
    sections = signal.butter(2, (low_hz, high_hz), btype="bandpass", fs=sample_rate_hz, output="sos")
    filtered: Float64Array = signal.sosfilt(sections, rng.standard_normal(n_samples))
    return with_rms(filtered, 1.0)


def power_law_noise(rng: np.random.Generator, n_samples: int, exponent: float, sample_rate_hz: int) -> Float64Array:
    """Return noise whose power falls with frequency to the power `exponent` (0 white, 1 pink, 2 brown), RMS 1.

    Shaped in the frequency domain (Timmer and Koenig, 1995), with nothing below `LOWEST_AUDIBLE_HZ`:
    microphones do not pass it, yet it would be most of the power of brown noise.
    """
    n_fast = fft.next_fast_len(n_samples, real=True)  # a length with a large prime factor takes ten times as long
    spectrum = np.fft.rfft(rng.standard_normal(n_fast))
    bins_hz = np.fft.rfftfreq(n_fast, 1 / sample_rate_hz)
    is_audible = bins_hz >= LOWEST_AUDIBLE_HZ
    # Half the exponent, as the spectrum holds amplitudes and not powers.
    spectrum *= is_audible * np.maximum(bins_hz, LOWEST_AUDIBLE_HZ) ** (-exponent / 2)
    return with_rms(np.fft.irfft(spectrum, n_fast)[:n_samples], 1.0)


def wandering(rng: np.random.Generator, n_samples: int, rate_of_change_hz: float, sample_rate_hz: int) -> Float64Array:
    """Return a smooth random curve of zero mean and roughly unit spread, for varying pitches and levels."""
    duration_s = n_samples / sample_rate_hz
    n_knots = max(4, int(np.ceil(duration_s * rate_of_change_hz)) + 1)
    knots = rng.standard_normal(n_knots)
    return np.interp(np.linspace(0.0, n_knots - 1, n_samples), np.arange(n_knots), knots)


def faded(samples: Float64Array, attack_s: float, release_s: float, sample_rate_hz: int) -> Float64Array:
    """Return `samples` with a raised-cosine rise and fall, so that neither end clicks."""
    # A sound that is shorter than a ramp gets as much of it as fits.
    rise = _ramp(attack_s, sample_rate_hz)[: len(samples)]
    fall = _ramp(release_s, sample_rate_hz)[: len(samples)][::-1]
    envelope = np.ones(len(samples))
    envelope[: len(rise)] *= rise
    envelope[len(samples) - len(fall) :] *= fall
    return samples * envelope


def placed(parts: Iterable[tuple[float, Float64Array]], sample_rate_hz: int) -> Float64Array:
    """Return the sum of `parts`, each (onset in seconds, signal); its end is that of the last part."""
    placed_parts = [(units.seconds_to_samples(onset_s, sample_rate_hz), part) for onset_s, part in parts]
    total = np.zeros(max(first + len(part) for first, part in placed_parts))
    for first, part in placed_parts:
        total[first : first + len(part)] += part
    return total


def in_random_room(rng: np.random.Generator, samples: Float64Array, sample_rate_hz: int) -> Float64Array:
    """Return `samples` in a random room: the direct sound and a tail of 0.1 to 0.4 s.

    The tail is decaying noise (Moorer, 1979, "About this reverberation business"), darker than the direct sound.
    """
    reverberation_s = rng.uniform(0.1, 0.4)
    times_s = time_axis_s(reverberation_s, sample_rate_hz)
    tail = band_noise(rng, len(times_s), 100.0, rng.uniform(3000.0, 6000.0), sample_rate_hz)
    tail *= np.exp(-6.9 * times_s / reverberation_s)  # -60 dB at its end
    # In all, the tail has 0.01 to 0.25 of the energy of the direct sound.
    response = with_rms(tail, rng.uniform(0.1, 0.5) / np.sqrt(len(tail)))
    response[0] += 1.0
    reverberant: Float64Array = signal.oaconvolve(samples, response)
    return reverberant


def rms(samples: FloatArray) -> float:
    """Return the root of the mean square; 0 without samples."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def with_rms(samples: Float64Array, target: float) -> Float64Array:
    """Return `samples` scaled to an RMS of `target`; digital silence is unchanged."""
    level = rms(samples)
    return samples * (target / level) if level > 0.0 else samples


def finished(samples: Float64Array, highest_peak: float = 0.9) -> Samples:
    """Return `samples` as float32, attenuated if needed so that no peak exceeds `highest_peak` of full scale."""
    peak = float(np.max(np.abs(samples), initial=0.0))
    gain = min(1.0, highest_peak / peak) if peak > 0.0 else 1.0
    return (samples * gain).astype(np.float32)


def _ramp(duration_s: float, sample_rate_hz: int) -> Float64Array:
    times_s = time_axis_s(duration_s, sample_rate_hz)
    return 0.5 - 0.5 * np.cos(np.pi * times_s / duration_s)
