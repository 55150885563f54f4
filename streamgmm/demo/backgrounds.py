"""Background noises, which a daemon receives most of the day.

Each function returns float64, shape (n_samples,), RMS 1; the level is set where the noise is used.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.demo.synthesis import band_noise, harmonics, power_law_noise, wandering, with_rms

Background = Callable[[np.random.Generator, int, int], Float64Array]


def room(rng: np.random.Generator, n_samples: int, sample_rate_hz: int) -> Float64Array:
    """Return a quiet room: nearly pink noise, with a faint mains hum every other time."""
    noise = power_law_noise(rng, n_samples, rng.uniform(0.7, 1.4), sample_rate_hz)
    if rng.random() < 0.5:
        noise += rng.uniform(0.1, 0.5) * mains_hum(rng, n_samples, sample_rate_hz)
    return with_rms(noise, 1.0)


def mains_hum(rng: np.random.Generator, n_samples: int, sample_rate_hz: int) -> Float64Array:
    """Return the hum of a transformer at twice the mains' 50 or 60 Hz, over hiss."""
    frequencies_hz = np.full(n_samples, rng.choice([100.0, 120.0]))
    weights = rng.uniform(0.3, 1.0, 5) / np.arange(1, 6)
    hum = harmonics(frequencies_hz, weights.tolist(), sample_rate_hz)
    return with_rms(hum + rng.uniform(0.2, 0.6) * power_law_noise(rng, n_samples, 0.5, sample_rate_hz), 1.0)


def fan(rng: np.random.Generator, n_samples: int, sample_rate_hz: int) -> Float64Array:
    """Return a fan: air noise with the tone of its blades."""
    speed = 1.0 + 0.005 * wandering(rng, n_samples, 1.0, sample_rate_hz)
    blades = harmonics(rng.uniform(90.0, 220.0) * speed, (1.0, 0.5, 0.25), sample_rate_hz)
    air = band_noise(rng, n_samples, 60.0, rng.uniform(800.0, 2500.0), sample_rate_hz)
    return with_rms(air + rng.uniform(0.1, 0.5) * blades, 1.0)


def wind(rng: np.random.Generator, n_samples: int, sample_rate_hz: int) -> Float64Array:
    """Return gusts of wind and distant traffic: low noise that swells and falls."""
    # The exponential keeps the gain of the gusts positive.
    gusts = np.exp(0.25 * wandering(rng, n_samples, 1.5, sample_rate_hz))
    rumble = power_law_noise(rng, n_samples, rng.uniform(1.4, 2.0), sample_rate_hz)
    return with_rms(gusts * (rumble + 0.2 * power_law_noise(rng, n_samples, 0.8, sample_rate_hz)), 1.0)


def murmur(rng: np.random.Generator, n_samples: int, sample_rate_hz: int) -> Float64Array:
    """Return people next door: noise in the bands of formants, in the rhythm of syllables."""
    total = 0.15 * power_law_noise(rng, n_samples, 1.0, sample_rate_hz)
    for low_hz, high_hz in ((250.0, 700.0), (800.0, 1600.0), (1800.0, 3000.0)):
        syllables = np.exp(0.6 * wandering(rng, n_samples, rng.uniform(4.0, 7.0), sample_rate_hz))
        # The higher the band, the softer, as in voices.
        total += syllables * (300.0 / low_hz) * band_noise(rng, n_samples, low_hz, high_hz, sample_rate_hz)
    return with_rms(total, 1.0)


BACKGROUNDS: tuple[Background, ...] = (room, mains_hum, fan, wind, murmur)
"""All kinds, in the order in which training clips take turns."""


def any_background(rng: np.random.Generator, n_samples: int, sample_rate_hz: int) -> Float64Array:
    """Return noise of a random kind, shape (n_samples,), RMS 1."""
    kind = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]
    return kind(rng, n_samples, sample_rate_hz)
