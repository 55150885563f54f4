"""Statistics of one window: functions from band energies to blocks of the vector.

The functions take `energies`, shape (n_fine, n_bands), positive and relative to the running level, or their logarithms,
so that no feature depends on the gain.
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
"""Number of groups of neighbouring bands whose envelopes are analysed, besides the broadband envelope."""

GROUP_SCALES = tuple(range(1, 9))
"""Dyadic scales of the modulation transform; the halves of a wavelet are 3 ms to about 0.4 s apart."""

MIN_DETAIL = 1e-3
"""Floor of detail magnitudes: smaller changes of log energies count as constant."""

N_LAG_RANGES = 9
"""Number of logarithmic lag ranges; each gives its strongest envelope periodicity."""

SHORTEST_LAG_S = 0.01
LONGEST_LAG_S = 0.7


def group_edges(n_bands: int) -> list[int]:
    """Return the first band of each of the `N_GROUPS` groups of neighbouring bands."""
    return [n_bands * i // N_GROUPS for i in range(N_GROUPS)]


@lru_cache(maxsize=8)
def _membership(n_bands: int) -> FloatArray:
    """Return 1 for the bands of the broadband energy and of each group, else 0; shape (n_bands, 1 + N_GROUPS)."""
    # As a matrix, so that one product gives all sums.
    membership = np.ones((n_bands, 1 + N_GROUPS), dtype=np.float32)
    for column, (first, last) in enumerate(pairwise([*group_edges(n_bands), n_bands]), start=1):
        membership[:, column] = 0.0
        membership[first:last, column] = 1.0
    return membership


def group_energies(energies: FloatArray) -> FloatArray:
    """Return the broadband energy, then the energy of each group of bands; shape (n_fine, 1 + N_GROUPS)."""
    return np.asarray(energies @ _membership(energies.shape[1]))


def paired(groups: FloatArray) -> FloatArray:
    """Return the broadband energy, then that of each pair of neighbouring groups; shape (n_fine, 1 + N_GROUPS // 2)."""
    return np.concatenate([groups[:, :1], groups[:, 1::2] + groups[:, 2::2]], axis=1)


def spectral_shape(log_energies: FloatArray) -> FloatArray:
    """Return the mean log energy of each band minus the mean of all bands; shape (n_bands,)."""
    means = mean_over_rows(log_energies)
    return np.asarray(means - np.add.reduce(means) / len(means))


def haar_details(log_envelopes: FloatArray, scales: Sequence[int]) -> dict[int, FloatArray]:
    """Compute the undecimated Haar details of each column at dyadic scales.

    Args:
        log_envelopes: shape (n_fine, n_envelopes).
        scales: from 1, ascending; scale j compares neighbouring runs of 2**(j-1) points.

    Returns:
        For each scale j an array of shape (n_fine - 2**j + 1, n_envelopes): PyWavelets' `haar` detail
        coefficients at every shift (Mallat, IEEE PAMI, 1989), divided by 2**(j/2) so that scales are comparable; a
        rise is negative. For scales too long for a partial window, the details of the longest scale that fits, or 0
        if the window has a single point.
    """
    # The largest scale whose wavelet, 2**scale points long, fits into the window.
    longest = len(log_envelopes).bit_length() - 1
    details: dict[int, FloatArray] = {}
    detail = np.zeros_like(log_envelopes)
    sums, half = log_envelopes, 1  # Sums of runs of `half` points; `half` doubles from scale to scale.
    for scale in range(1, max(scales) + 1):
        if scale <= longest:
            # Each scale reuses the sums of the one below: n additions per scale instead of n 2**scale.
            earlier, later = sums[:-half], sums[half:]
            if scale in scales or scale == longest:
                detail = earlier - later
                detail *= 0.5 / half  # Exact, as a power of two.
            sums, half = earlier + later, 2 * half
        if scale in scales:
            details[scale] = detail
    return details


def modulation_energies(details: Mapping[int, FloatArray]) -> FloatArray:
    """Return the log mean magnitude of the details of each scale and envelope; shape (n_scales * n_envelopes,)."""
    return np.log(np.concatenate([mean_over_rows(np.abs(detail)) for detail in details.values()]) + MIN_DETAIL)


def second_modulations(details: Mapping[int, FloatArray], scales: Sequence[int]) -> FloatArray:
    """Measure how slowly the strength of quick modulations changes.

    The log magnitudes of the details are transformed again: the second order of a scattering transform
    (Anden and Mallat, IEEE Trans. Signal Processing, 2014), with Haar wavelets both times.

    Args:
        details: details of the quick scales, shape (n_points, n_envelopes) each; aligned at their ends.
        scales: scales of the second transform.

    Returns:
        shape (len(details) * len(scales) * n_envelopes,).
    """
    # Long scales have fewer shifts; aligned at the end, all rows describe the same moments.
    n_points = min(map(len, details.values()))
    strengths = np.concatenate([np.abs(detail[-n_points:]) for detail in details.values()], axis=1)
    return modulation_energies(haar_details(np.log(strengths + MIN_DETAIL), scales))


def group_correlations(details: Mapping[int, FloatArray]) -> FloatArray:
    """Correlate the details of each pair of groups: positive where the groups rise and fall together.

    Args:
        details: details by scale, shape (n_points, n_groups) each.

    Returns:
        shape (n_scales * n_groups * (n_groups - 1) / 2,), -1 to 1.
    """
    # Shape (n_scales, n_groups, n_groups).
    covariances = np.stack([_covariance(detail) for detail in details.values()])
    deviations = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2)) + MIN_DETAIL
    correlations = covariances / (deviations[:, :, np.newaxis] * deviations[:, np.newaxis, :])
    # The added MIN_DETAIL draws correlations of constant envelopes to 0 instead of to noise.
    rows, columns = _pairs(deviations.shape[1])
    return np.asarray(correlations[:, rows, columns].ravel())


def _covariance(rows: FloatArray) -> FloatArray:
    centred = rows - mean_over_rows(rows)
    return np.asarray(centred.T @ centred / len(centred))


@lru_cache(maxsize=8)
def _pairs(n: int) -> tuple[IndexArray, IndexArray]:
    """Return row and column indices of the upper triangle of an (n, n) matrix, without its diagonal."""
    rows, columns = np.triu_indices(n, 1)
    return rows, columns


def attack_asymmetry(details: Mapping[int, FloatArray], scales: Sequence[int]) -> FloatArray:
    """Compare rises with falls at the given scales; shape (len(scales) * n_envelopes,).

    The sum of cubes of the Haar details over the sum of their absolute cubes, with the sign changed: 1 for a sudden
    rise and a slow decay, -1 for the reverse.
    """
    blocks = []
    for scale in scales:
        detail = details[scale]
        # Not `detail**3`, which calls the much slower `pow`.
        cubes = detail * detail * detail
        blocks.append(-sum_over_rows(cubes) / (sum_over_rows(np.abs(cubes)) + MIN_DETAIL**3))
    return np.concatenate(blocks)


def rising_energy(rises: FloatArray) -> FloatArray:
    """Return the log mean of `rises`, shape (n, n_envelopes), over time; shape (n_envelopes,)."""
    return np.asarray(np.log(mean_over_rows(rises) + MIN_DETAIL))


def kurtosis(energies: FloatArray) -> FloatArray:
    """Return log(E[e^2] / E[e]^2) of the energy e of each band, high for peaked envelopes; shape (n_bands,)."""
    mean_squares = mean_over_rows(np.square(energies))
    return np.asarray(np.log(mean_squares / np.square(mean_over_rows(energies))))


def tonality(coherences: npt.NDArray[np.complexfloating], powers: FloatArray) -> FloatArray:
    """Return the magnitude of the normalised autocorrelation of each band, as mean over the lags of the transform.

    Args:
        coherences: `HopEnergies.coherences` summed over the window, shape (n_lags, n_bands).
        powers: `HopEnergies.powers` summed over the window, shape (n_bands,), positive.

    Returns:
        shape (n_bands,), from 0 for noise to 1 for a steady tone.
    """
    return np.asarray(np.add.reduce(np.abs(coherences) / powers) / len(coherences))


def spectral_entropy(energies: FloatArray, log_energies: FloatArray, broadband: FloatArray) -> FloatArray:
    """Return mean and standard deviation over the window of the spectral entropy (nat); shape (2,).

    Args:
        energies: shape (n_fine, n_bands).
        log_energies: logarithms of `energies`.
        broadband: sums of `energies` over the bands, shape (n_fine,).
    """
    # -sum p log p with p = e / sum e, without computing p.
    entropies = np.log(broadband) - sum_over_columns(energies * log_energies) / broadband
    return np.array(_mean_and_deviation(entropies))


def onset_synchrony(rises: FloatArray) -> FloatArray:
    """Measure how far bands rise at the same time; shape (2,).

    The first number is the deviation over time of the mean rise, relative to the mean deviation of single bands. The
    second is the log of 1 plus the largest mean rise relative to its average.

    Args:
        rises: shape (n, n_bands), rises at each point, 0 or positive.
    """
    # Shape (n,), the mean rise of all bands at each point.
    together = sum_over_columns(rises) / rises.shape[1]
    means = mean_over_rows(rises)
    # Rounding can make the variance of a constant band slightly negative.
    variances = mean_over_rows(np.square(rises)) - means * means
    alone, _ = _mean_and_deviation(np.sqrt(np.maximum(variances, 0.0)))
    mean, deviation = _mean_and_deviation(together)
    peak = together.max() / (mean + MIN_DETAIL)
    return np.array([deviation / (alone + MIN_DETAIL), np.log(peak + 1.0)])


def _mean_and_deviation(values: FloatArray) -> tuple[float, float]:
    """Return mean and standard deviation of `values`, shape (n,)."""
    # Faster than `mean` and `std`, whose call overhead exceeds the work for rows this short.
    mean = float(values.sum()) / len(values)
    deviations = values - mean
    return mean, math.sqrt(float(deviations @ deviations) / len(values))


def envelope_periodicity(log_envelopes: FloatArray, fine_s: float) -> FloatArray:
    """Return the strongest normalised autocorrelation of each envelope in each range of lags.

    Args:
        log_envelopes: shape (n_fine, n_envelopes).
        fine_s: time between points.

    Returns:
        shape (N_LAG_RANGES * n_envelopes,); 0 where a partial window is too short for the lag. The autocorrelation is
        unbiased, and computed by a zero-padded Fourier transform (Wiener-Khinchin).
    """
    n = len(log_envelopes)
    # One contiguous row per envelope: the Fourier transform runs along rows.
    centred = np.ascontiguousarray((log_envelopes - mean_over_rows(log_envelopes)).T)
    edges = lag_edges(fine_s)
    # Padding by the longest lag in use keeps these lags free of circular overlap.
    spectrum = np.fft.rfft(centred, _fast_length(n + min(n, edges[-1])))
    autocorrelation = np.fft.irfft(spectrum.real**2 + spectrum.imag**2)[:, :n]
    # Each lag has n - lag pairs; MIN_DETAIL keeps the ratio of constant envelopes near 0.
    normal = autocorrelation / (np.arange(n, 0, -1) * (autocorrelation[:, :1] / n + MIN_DETAIL))
    maxima = np.zeros((N_LAG_RANGES, len(normal)))
    # Lags above four fifths of the window have too few pairs of points for a reliable mean.
    known = normal[:, : min(edges[-1], int(0.8 * n))]
    # The last range ends with `known`, so `reduceat` needs the beginnings only.
    begins = [first for first in edges[:-1] if first < known.shape[1]]
    if begins:
        maxima[: len(begins)] = np.maximum.reduceat(known, begins, axis=1).T
    return maxima.ravel()


@lru_cache(maxsize=8)
def lag_edges(fine_s: float) -> list[int]:
    """Return the bounds of the lag ranges, in points of the fine grid."""
    # Logarithmic, as pitch and rhythm are perceived as ratios of period.
    edges_s = np.geomspace(SHORTEST_LAG_S, LONGEST_LAG_S, N_LAG_RANGES + 1)
    return [round(edge_s / fine_s) for edge_s in edges_s.tolist()]


def _fast_length(n: int) -> int:
    """Return the smallest product of 1, 3 or 5 and a power of two that is at least n, for a fast Fourier transform."""
    # For each factor, the smallest power of two whose product with it reaches n.
    return min(factor << max(0, (-(-n // factor) - 1).bit_length()) for factor in (1, 3, 5))
