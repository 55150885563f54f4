"""Copies of a clip as it might have sounded: a little faster or slower, in some noise."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import soxr

Samples = npt.NDArray[np.float32]

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
    return [np.asarray(soxr.resample(samples, speed, 1.0), dtype=np.float32) for speed in speeds]


def noise_copy(samples: Samples, sample_rate_hz: int, rng: np.random.Generator) -> Samples:
    """A copy in stationary noise of random colour and level, relative to the level of its sounding part."""
    noise = coloured_noise(len(samples), sample_rate_hz, rng.uniform(*COLOUR_RANGE), rng)
    sounding = samples[np.abs(samples) > DIGITAL_SILENCE]
    power = float(np.mean(np.square(sounding, dtype=np.float64))) if len(sounding) else 0.0
    factor = np.sqrt(power) * 10.0 ** (-rng.uniform(*SNR_RANGE_DB) / 20.0)
    return np.asarray(samples + factor * noise, dtype=np.float32)


def coloured_noise(
    n_samples: int, sample_rate_hz: int, exponent: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Gaussian noise with amplitudes proportional to 1 / f**exponent, mean square 1; shape (n_samples,)."""
    if n_samples < 2:
        return np.zeros(n_samples)
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    frequencies_hz = np.fft.rfftfreq(n_samples, 1.0 / sample_rate_hz)
    noise = np.fft.irfft(spectrum * np.maximum(frequencies_hz, LOWEST_NOISE_HZ) ** -exponent, n_samples)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))
