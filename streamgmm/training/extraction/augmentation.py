"""Copies of a clip as it might have sounded: a little faster or slower, in some noise."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import soxr

from streamgmm.arrays import Float64Array, Samples

SPEED_RANGE = (0.8, 1.25)
"""Slowest and fastest copy: a minor third down to a major third up, as far as another specimen may differ."""

SNR_RANGE_DB = (0.0, 25.0)
"""Loudest and faintest noise of a noise copy: a fan beside the microphone to a quiet room."""

COLOUR_RANGE = (0.0, 1.0)
"""Exponent of 1/f on the amplitudes of the noise: white to brown."""

LOWEST_NOISE_HZ = 20.0
DIGITAL_SILENCE = 1e-6
"""Amplitudes below this are no sound; half a step of 16 bits is 1.5e-5."""


def speed_copies(samples: Samples, n_copies: int, rng: np.random.Generator) -> list[Samples]:
    """Copies played at other speeds, so pitch and tempo change together (Ko et al., Interspeech, 2015).

    Args:
        samples: shape (n,).
        n_copies: the range of speeds is cut into as many parts, and each gives one copy.
        rng: draws the speed within its part.
    """
    edges = np.geomspace(*SPEED_RANGE, n_copies + 1)
    speeds = [rng.uniform(slow, fast) for slow, fast in pairwise(edges)]
    # A resampler takes what lies outside for zero: an offset would begin and end with a click.
    offset = samples[0] if len(samples) else np.float32(0.0)
    return [np.asarray(soxr.resample(samples - offset, speed, 1.0) + offset, dtype=np.float32) for speed in speeds]


def noise_copy(samples: Samples, sample_rate_hz: int, rng: np.random.Generator) -> Samples:
    """A copy in stationary noise of random colour and level, relative to the level of its sounding part."""
    noise = coloured_noise(len(samples), sample_rate_hz, rng.uniform(*COLOUR_RANGE), rng)
    return _mixed(samples, noise, rng.uniform(*SNR_RANGE_DB))


def background_copy(samples: Samples, background: Samples, rng: np.random.Generator) -> Samples:
    """A copy as it sounds over a background, repeated if it is shorter, at a random level relative to the sound.

    Args:
        samples: shape (n,), n >= 1.
        background: shape (m,), m >= 1; of one that is silent nothing is added.
        rng: draws the stretch of the background and its level.
    """
    stretch = np.resize(np.roll(background, -int(rng.integers(len(background)))), len(samples))
    root_mean_square = float(np.std(stretch, dtype=np.float64))
    noise = stretch / max(root_mean_square, DIGITAL_SILENCE)
    return _mixed(samples, noise.astype(np.float64), rng.uniform(*SNR_RANGE_DB))


def _mixed(samples: Samples, noise: Float64Array, snr_db: float) -> Samples:
    """`samples` with noise of mean square 1, brought to a level relative to that of their sounding part."""
    sounding = samples[np.abs(samples) > DIGITAL_SILENCE]
    power = float(np.var(sounding, dtype=np.float64)) if len(sounding) else 0.0
    factor = np.sqrt(power) * 10.0 ** (-snr_db / 20.0)
    return np.asarray(samples + factor * noise, dtype=np.float32)


def coloured_noise(n_samples: int, sample_rate_hz: int, exponent: float, rng: np.random.Generator) -> Float64Array:
    """Gaussian noise with amplitudes proportional to 1 / f**exponent, mean square 1; shape (n_samples,)."""
    from scipy.fft import next_fast_len  # here, as processes that need no noise begin sooner without it

    if n_samples < 2:
        return np.zeros(n_samples)
    # A clip may have any length, and a transform of one with large prime factors would take longer than all features.
    n_drawn = next_fast_len(n_samples, real=True)
    spectrum = np.fft.rfft(rng.standard_normal(n_drawn))
    frequencies_hz = np.fft.rfftfreq(n_drawn, 1.0 / sample_rate_hz)
    noise = np.fft.irfft(spectrum * np.maximum(frequencies_hz, LOWEST_NOISE_HZ) ** -exponent, n_drawn)[:n_samples]
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))
