"""What is measured on one window: short functions from band energies to blocks of the vector.

They take `energies`, shape (n_fine, n_bands), positive and relative to the running level, or their logarithms:
so no number depends on the gain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from streamgmm.arrays import FloatArray, IndexArray
from streamgmm.features.sums import mean_over_rows, sum_over_columns, sum_over_rows

N_GROUPS = 6
"""Groups of neighbouring bands whose envelopes are followed besides the broadband one."""

GROUP_SCALES = tuple(range(1, 9))
"""Dyadic scales of the modulation transform: 3 ms to about 0.4 s between the centres of the halves."""

MIN_DETAIL = 1e-3
"""Log energies that change by less are as good as constant."""

N_LAG_RANGES = 9
"""Logarithmic ranges of lag in which the strongest envelope periodicity is sought."""

SHORTEST_LAG_S = 0.01
LONGEST_LAG_S = 0.7


def group_edges(n_bands: int) -> list[int]:
    """First band of each of the `N_GROUPS` runs of neighbouring bands."""
    return [n_bands * i // N_GROUPS for i in range(N_GROUPS)]


@lru_cache(maxsize=8)
def _membership(n_bands: int) -> FloatArray:
    """Which bands belong to the broadband energy and to each group; shape (n_bands, 1 + N_GROUPS)."""
    membership = np.ones((n_bands, 1 + N_GROUPS), dtype=np.float32)
    for column, (first, last) in enumerate(pairwise([*group_edges(n_bands), n_bands]), start=1):
        membership[:, column] = 0.0
        membership[first:last, column] = 1.0
    return membership


def group_energies(energies: FloatArray) -> FloatArray:
    """Broadband energy, and that of each run of neighbouring bands; shape (n_fine, 1 + N_GROUPS)."""
    return np.asarray(energies @ _membership(energies.shape[1]))


def paired(groups: FloatArray) -> FloatArray:
    """Broadband energy, and that of each pair of neighbouring groups; shape (n_fine, 1 + N_GROUPS // 2)."""
    return np.concatenate([groups[:, :1], groups[:, 1::2] + groups[:, 2::2]], axis=1)


def spectral_shape(log_energies: FloatArray) -> FloatArray:
    """Mean log energy of each band relative to the mean of all; shape (n_bands,)."""
    means = mean_over_rows(log_energies)
    return np.asarray(means - np.add.reduce(means) / len(means))


def haar_details(log_envelopes: FloatArray, scales: Sequence[int]) -> dict[int, FloatArray]:
    """Undecimated Haar details of each column at dyadic scales.

    Args:
        log_envelopes: shape (n_fine, n_envelopes).
        scales: from 1, ascending; scale j compares neighbouring runs of 2**(j-1) points.

    Returns:
        For each scale j an array of shape (n_fine - 2**j + 1, n_envelopes): PyWavelets' `haar` detail
        coefficients at every shift (Mallat, IEEE PAMI, 1989), over 2**(j/2) so that scales compare; a rise is
        negative. A scale longer than a partial window repeats the longest one that fits; that of a single point is 0.
    """
    longest = len(log_envelopes).bit_length() - 1
    details: dict[int, FloatArray] = {}
    detail = np.zeros_like(log_envelopes)
    sums, half = log_envelopes, 1  # sums of runs of `half` points, doubled from scale to scale
    for scale in range(1, max(scales) + 1):
        if scale <= longest:
            earlier, later = sums[:-half], sums[half:]
            if scale in scales or scale == longest:
                detail = earlier - later
                detail *= 0.5 / half  # exact, as a power of two
            sums, half = earlier + later, 2 * half
        if scale in scales:
            details[scale] = detail
    return details


def modulation_energies(details: Mapping[int, FloatArray]) -> FloatArray:
    """Log mean magnitude of the details of each scale and envelope; shape (n_scales * n_envelopes,)."""
    return np.log(np.concatenate([mean_over_rows(np.abs(detail)) for detail in details.values()]) + MIN_DETAIL)


def second_modulations(details: Mapping[int, FloatArray], scales: Sequence[int]) -> FloatArray:
    """How the strength of quick modulations is itself modulated, slowly.

    The log magnitudes of the details are transformed once more: the second order of a scattering transform
    (Anden and Mallat, IEEE Trans. Signal Processing, 2014), with Haar wavelets both times.

    Args:
        details: of quick scales, shape (n_points, n_envelopes) each; their ends are lined up.
        scales: of the second transform.

    Returns:
        shape (len(details) * len(scales) * n_envelopes,).
    """
    n_points = min(map(len, details.values()))
    strengths = np.concatenate([np.abs(detail[-n_points:]) for detail in details.values()], axis=1)
    return modulation_energies(haar_details(np.log(strengths + MIN_DETAIL), scales))


def group_correlations(details: Mapping[int, FloatArray]) -> FloatArray:
    """Whether groups of bands rise and fall together: correlation of the details of each pair of them.

    Args:
        details: by scale, shape (n_points, n_groups) each.

    Returns:
        shape (n_scales * n_groups * (n_groups - 1) / 2,), -1 to 1.
    """
    covariances = np.stack([_covariance(detail) for detail in details.values()])
    deviations = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2)) + MIN_DETAIL
    correlations = covariances / (deviations[:, :, np.newaxis] * deviations[:, np.newaxis, :])
    rows, columns = _pairs(deviations.shape[1])
    return np.asarray(correlations[:, rows, columns].ravel())


def _covariance(rows: FloatArray) -> FloatArray:
    centred = rows - mean_over_rows(rows)
    return np.asarray(centred.T @ centred / len(centred))


@lru_cache(maxsize=8)
def _pairs(n: int) -> tuple[IndexArray, IndexArray]:
    """Rows and columns of the pairs of n things."""
    rows, columns = np.triu_indices(n, 1)
    return rows, columns


def attack_asymmetry(details: Mapping[int, FloatArray], scales: Sequence[int]) -> FloatArray:
    """Balance of rises and falls at the given scales; shape (len(scales) * n_envelopes,).

    The sum of cubes over the sum of absolute cubes of the Haar details: 1 where everything rises at
    once and decays slowly, -1 the other way round.
    """
    blocks = []
    for scale in scales:
        detail = details[scale]
        cubes = detail * detail * detail
        blocks.append(-sum_over_rows(cubes) / (sum_over_rows(np.abs(cubes)) + MIN_DETAIL**3))
    return np.concatenate(blocks)


def rising_energy(rises: FloatArray) -> FloatArray:
    """Log mean of the rises of each envelope, shape (n, n_envelopes); shape (n_envelopes,)."""
    return np.asarray(np.log(mean_over_rows(rises) + MIN_DETAIL))


def kurtosis(energies: FloatArray) -> FloatArray:
    """Log of E[e^2] / E[e]^2 of each band's energy: how peaked its envelope is; shape (n_bands,)."""
    mean_squares = mean_over_rows(np.square(energies))
    return np.asarray(np.log(mean_squares / np.square(mean_over_rows(energies))))


def tonality(coherences: npt.NDArray[np.complexfloating], powers: FloatArray) -> FloatArray:
    """Magnitude of each band's normalised autocorrelation at the lags of the transform.

    Args:
        coherences: summed over the window, shape (n_lags, n_bands).
        powers: summed over the window, shape (n_bands,), positive.

    Returns:
        shape (n_bands,), mean over the lags, 0 for noise to 1 for a steady tone.
    """
    return np.asarray(np.add.reduce(np.abs(coherences) / powers) / len(coherences))


def spectral_entropy(energies: FloatArray, log_energies: FloatArray, broadband: FloatArray) -> FloatArray:
    """Mean and deviation over the window of the entropy of the spectrum, in nats; shape (2,).

    Args:
        energies: shape (n_fine, n_bands).
        log_energies: their logarithms.
        broadband: their sums over the bands, shape (n_fine,).
    """
    entropies = np.log(broadband) - sum_over_columns(energies * log_energies) / broadband
    return np.array(_mean_and_deviation(entropies))


def onset_synchrony(rises: FloatArray) -> FloatArray:
    """How far bands rise together, from the rises per point and band; shape (2,).

    The deviation over time of the mean rise relative to that of single bands, and the log of the
    largest mean rise relative to the average one.
    """
    together = sum_over_columns(rises) / rises.shape[1]
    means = mean_over_rows(rises)
    variances = mean_over_rows(np.square(rises)) - means * means
    alone, _ = _mean_and_deviation(np.sqrt(np.maximum(variances, 0.0)))
    mean, deviation = _mean_and_deviation(together)
    peak = together.max() / (mean + MIN_DETAIL)
    return np.array([deviation / (alone + MIN_DETAIL), np.log(peak + 1.0)])


def _mean_and_deviation(values: FloatArray) -> tuple[float, float]:
    """Of a short row of numbers, shape (n,): with numpy's own functions, most of the time goes into calling them."""
    mean = float(values.sum()) / len(values)
    deviations = values - mean
    return mean, math.sqrt(float(deviations @ deviations) / len(values))


def envelope_periodicity(log_envelopes: FloatArray, fine_s: float) -> FloatArray:
    """Strongest normalised autocorrelation of each envelope in each range of lags.

    Args:
        log_envelopes: shape (n_fine, n_envelopes).
        fine_s: seconds per point.

    Returns:
        shape (N_LAG_RANGES * n_envelopes,); 0 where a partial window is shorter than the lag. The
        autocorrelation comes from a zero-padded Fourier transform (Wiener-Khinchin), unbiased.
    """
    n = len(log_envelopes)
    centred = np.ascontiguousarray((log_envelopes - mean_over_rows(log_envelopes)).T)
    edges = _lag_edges(fine_s)
    # Padded so that no lag that is looked at wraps around.
    spectrum = np.fft.rfft(centred, _fast_length(n + min(n, edges[-1])))
    autocorrelation = np.fft.irfft(spectrum.real**2 + spectrum.imag**2)[:, :n]
    normal = autocorrelation / (np.arange(n, 0, -1) * (autocorrelation[:, :1] / n + MIN_DETAIL))
    maxima = np.zeros((N_LAG_RANGES, len(normal)))
    # A lag of more than four fifths of the window rests on too few pairs.
    known = normal[:, : min(edges[-1], int(0.8 * n))]
    begins = [first for first in edges[:-1] if first < known.shape[1]]
    if begins:
        maxima[: len(begins)] = np.maximum.reduceat(known, begins, axis=1).T
    return maxima.ravel()


@lru_cache(maxsize=8)
def _lag_edges(fine_s: float) -> list[int]:
    """Bounds of the ranges of lag, in points of the fine grid."""
    edges_s = np.geomspace(SHORTEST_LAG_S, LONGEST_LAG_S, N_LAG_RANGES + 1)
    return [round(edge_s / fine_s) for edge_s in edges_s.tolist()]


def _fast_length(n: int) -> int:
    """Smallest product of 1, 3 or 5 and a power of two that holds n points: lengths of fast Fourier transforms."""
    return min(factor << max(0, (-(-n // factor) - 1).bit_length()) for factor in (1, 3, 5))
