"""Augmentation: copies of a clip at other speeds, in noise, and over recorded backgrounds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import soxr

from streamgmm.arrays import Float64Array, Samples

SPEED_RANGE = (0.8, 1.25)
"""Speed of the slowest and fastest copy: four semitones down to four up, as far as two animals of a kind may differ."""

SNR_RANGE_DB = (0.0, 25.0)
"""Signal-to-noise ratio of noise copies: from a fan beside the microphone to a quiet room."""

COLOUR_RANGE = (0.0, 1.0)
"""Exponent of 1/f in the amplitude spectrum of the noise: white to brown."""

LOWEST_NOISE_HZ = 20.0
"""Below it the spectrum of noise is flat: 1/f would put all power where no microphone works."""

DIGITAL_SILENCE = 1e-6
"""Amplitudes below this count as silence; half a step of 16 bits is 1.5e-5."""


def speed_copies(samples: Samples, n_copies: int, rng: np.random.Generator) -> list[Samples]:
    """Return copies played at other speeds, so pitch and tempo change together (Ko et al., Interspeech, 2015).

    Args:
        samples: shape (n,).
        n_copies: number of copies; the range of speeds is divided into as many parts, one for each.
        rng: draws the speed within its part.
    """
    # Even in the logarithm: equal ratios of speed are equal intervals of pitch.
    edges = np.geomspace(*SPEED_RANGE, n_copies + 1)
    speeds = [rng.uniform(slow, fast) for slow, fast in pairwise(edges)]
    # The resampler assumes zeros outside the clip, so a constant offset would begin and end with a click.
    offset = samples[0] if len(samples) else np.float32(0.0)
    return [np.asarray(soxr.resample(samples - offset, speed, 1.0) + offset, dtype=np.float32) for speed in speeds]


def noise_copy(samples: Samples, sample_rate_hz: int, rng: np.random.Generator) -> Samples:
    """Return a copy in stationary noise of random colour and level, relative to the level of its non-silent part."""
    noise = coloured_noise(len(samples), sample_rate_hz, rng.uniform(*COLOUR_RANGE), rng)
    return _mixed(samples, noise, rng.uniform(*SNR_RANGE_DB))


def background_copy(samples: Samples, background: Samples, rng: np.random.Generator) -> Samples:
    """Return a copy mixed with a background, which is repeated if it is shorter, at a random signal-to-noise ratio.

    Args:
        samples: shape (n,), n >= 1.
        background: shape (m,), m >= 1; a silent one adds nothing.
        rng: draws the part of the background and its level.
    """
    part = np.resize(np.roll(background, -int(rng.integers(len(background)))), len(samples))
    # The standard deviation and not the root mean square: an offset of the microphone is not noise.
    deviation = float(np.std(part, dtype=np.float64))
    noise = part / max(deviation, DIGITAL_SILENCE)
    return _mixed(samples, noise.astype(np.float64), rng.uniform(*SNR_RANGE_DB))


def _mixed(samples: Samples, noise: Float64Array, snr_db: float) -> Samples:
    """Return `samples` with noise of mean square 1 added at a level relative to that of their non-silent part."""
    # Without the pauses: a clip padded with zeros would otherwise get less noise than the same clip cut to size.
    sounding = samples[np.abs(samples) > DIGITAL_SILENCE]
    power = float(np.var(sounding, dtype=np.float64)) if len(sounding) else 0.0
    factor = np.sqrt(power) * 10.0 ** (-snr_db / 20.0)
    return np.asarray(samples + factor * noise, dtype=np.float32)


def coloured_noise(n_samples: int, sample_rate_hz: int, exponent: float, rng: np.random.Generator) -> Float64Array:
    """Return Gaussian noise with amplitudes proportional to 1 / f**exponent, mean square 1; shape (n_samples,)."""
    from scipy.fft import irfft, next_fast_len  # imported here: worker processes without noise copies start sooner

    if n_samples < 2:
        return np.zeros(n_samples)
    # A clip may have any length, and an FFT of a length with large prime factors takes longer than all features.
    n_drawn = next_fast_len(n_samples, real=True)
    frequencies_hz = np.fft.rfftfreq(n_drawn, 1.0 / sample_rate_hz)
    amplitudes = np.maximum(frequencies_hz, LOWEST_NOISE_HZ) ** -exponent
    # The spectrum of Gaussian noise is Gaussian, real and imaginary parts independent of each other.
    spectrum = rng.standard_normal((len(frequencies_hz), 2), dtype=np.float32)
    spectrum *= (amplitudes / amplitudes[0]).astype(np.float32)[:, np.newaxis]
    noise = irfft(spectrum.view(np.complex64)[:, 0], n_drawn)[:n_samples].astype(np.float64)
    # Normalised after it was cut, so that the level holds for the part that is used.
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))
