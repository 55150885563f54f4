"""Slow, obvious versions of what the program computes fast: loops over plain numbers, no shared code."""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable, Sequence

import numpy as np


def correlate_at(samples, wavelet, position: int) -> complex:
    """Sum of samples times the conjugated wavelet centred at `position`; samples outside are 0."""
    total = 0j
    for i, tap in enumerate(wavelet):
        index = position + i - len(wavelet) // 2
        if 0 <= index < len(samples):
            total += samples[index] * tap.conjugate()
    return total


def coefficients(samples, wavelet, decimation: int, delay_samples: int):
    """Coefficients at every `decimation`-th sample, the first `delay_samples` before sample 0."""
    padded = np.concatenate([np.zeros(delay_samples), samples])
    everywhere = np.convolve(padded, wavelet)[len(wavelet) // 2 :]
    return everywhere[: len(samples) : decimation]


def block_means(values, n_per_block: int):
    return np.array([np.mean(values[i : i + n_per_block]) for i in range(0, len(values), n_per_block)])


def coherence(values, lag: int, first: int, last: int) -> complex:
    """Sum over `first` <= n < `last` of c[n] conj(c[n - lag]); coefficients before the first are 0."""
    return sum((values[n] * values[n - lag].conjugate() for n in range(first, last) if n >= lag), 0j)


def dft_gain(taps, frequency_hz: float, sample_rate_hz: int) -> float:
    """Magnitude of the response of a filter to exp(2 pi i f t)."""
    omega = 2 * math.pi * frequency_hz / sample_rate_hz
    return float(abs(sum(tap * cmath.exp(-1j * omega * i) for i, tap in enumerate(taps))))


def haar_detail(column, scale: int) -> list[float]:
    """Half the difference of the means of neighbouring runs, at every shift."""
    half = 2 ** (scale - 1)
    details = []
    for first in range(len(column) - 2 * half + 1):
        earlier = sum(column[first : first + half]) / half
        later = sum(column[first + half : first + 2 * half]) / half
        details.append((earlier - later) / 2)
    return details


def autocorrelation(column, lag: int, softening: float) -> float:
    """Unbiased autocorrelation at one lag, relative to the variance plus `softening`."""
    n = len(column)
    mean = sum(column) / n
    centred = [value - mean for value in column]
    variance = sum(value * value for value in centred) / n
    covariance = sum(centred[i] * centred[i + lag] for i in range(n - lag)) / (n - lag)
    return float(covariance / (variance + softening))


def periodicity(column, fine_s: float, shortest_s: float, longest_s: float, n_ranges: int, softening: float):
    """Strongest autocorrelation in each logarithmic range of lags up to four fifths of the column."""
    ratio = (longest_s / shortest_s) ** (1 / n_ranges)
    edges = [round(shortest_s * ratio**i / fine_s) for i in range(n_ranges + 1)]
    strongest = []
    for i in range(n_ranges):
        lags = [lag for lag in range(edges[i], max(edges[i + 1], edges[i] + 1)) if lag < int(0.8 * len(column))]
        strongest.append(max((autocorrelation(column, lag, softening) for lag in lags), default=0.0))
    return strongest


def mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def deviation(values) -> float:
    values = list(values)
    centre = mean(values)
    return math.sqrt(mean((value - centre) ** 2 for value in values))


def entropy(energies: Sequence[float]) -> float:
    """Entropy in nats of the shares of a spectrum."""
    total = sum(energies)
    return -sum(energy / total * math.log(energy / total) for energy in energies)


def softmax(logits) -> list[float]:
    odds = [math.exp(logit - max(logits)) for logit in logits]
    return [odd / sum(odds) for odd in odds]
