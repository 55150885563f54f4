"""Streaming wavelet transform: from one hop of samples to its band energies.

Each group of bands is one matrix product over overlapping rows of samples. Every product has the same shape, whatever
the blocks in which the samples arrive, because the shape of a matrix product affects the last bits of its sums. So a
stream and a file give identical results.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from streamgmm.arrays import FloatArray
from streamgmm.features.bank import BandGroup, design_bands, group_bands
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.sums import sum_over_rows

LAGS_PER_INVERSE_SIGMA = (0.45, 0.9)
"""Lags of the autocorrelation of a band's coefficients, in units of 1 / sigma_hz: long enough for noise to lose its
phase, while a tone keeps it."""


class HopEnergies(NamedTuple):
    """The output of the bank for one hop.

    Attributes:
        energies: shape (hop_fine, n_bands), mean squared magnitude per point of the fine grid; a full-scale
            cosine at the centre of a band gives 1.
        coherences: complex, shape (n_lags, n_bands), sums of c[n] conj(c[n - lag]) over the hop.
        powers: shape (n_bands,), sums of |c[n]|^2 over the hop.
    """

    energies: FloatArray
    coherences: npt.NDArray[np.complexfloating]
    powers: FloatArray


class WaveletTransform:
    """Transforms hops of samples into band energies, with a constant delay of `delay_samples`.

    Args:
        spec: defines the bank.
        dtype: float32 (half the time, relative error 1e-6) or float64.

    Attributes:
        delay_samples: distance of the results from the newest sample.
        memory_samples: a sample affects no result later than this many samples after it.
    """

    def __init__(self, spec: FeatureSpec, dtype: npt.DTypeLike = np.float32) -> None:
        self.spec = spec
        self.bands = design_bands(spec)
        groups = group_bands(spec)
        self.delay_samples = delay_samples(spec)
        # The centres of the wavelets span one hop, with half of the longest wavelet before and after them.
        self._samples = np.zeros(2 * self.delay_samples + spec.hop_samples, dtype=dtype)
        self._groups = [_GroupTransform(group, self.delay_samples, spec, self._samples) for group in groups]
        self.memory_samples = memory_samples(spec)

    def push_hop(self, samples: FloatArray) -> HopEnergies:
        """Transform the next `spec.hop_samples` samples, shape (hop_samples,)."""
        keep = 2 * self.delay_samples
        # The two parts may overlap: numpy then copies through a buffer.
        self._samples[:keep] = self._samples[-keep:]
        self._samples[keep:] = samples
        # The groups read `_samples` through their views.
        parts = [group.compute() for group in self._groups]
        return HopEnergies(
            np.concatenate([part.energies for part in parts], axis=1),
            np.concatenate([part.coherences for part in parts], axis=1),
            np.concatenate([part.powers for part in parts]),
        )

    def reset(self) -> None:
        """Drop all samples."""
        self._samples[:] = 0
        for group in self._groups:
            group.reset()


class _GroupTransform:
    """The bands of one decimation."""

    def __init__(self, group: BandGroup, delay_samples: int, spec: FeatureSpec, samples: FloatArray) -> None:
        n_taps, self._n_bands = group.taps.shape
        self._decimation = group.decimation
        n_rows = spec.hop_samples // group.decimation
        # Rows of all bands are centred `delay_samples` before the newest sample, so that they describe the same moment.
        # The view overlaps itself: it follows `samples` without a copy per row.
        first = samples[delay_samples - n_taps // 2 :]
        self._view = as_strided(first, (n_rows, n_taps), (group.decimation * samples.itemsize, samples.itemsize))
        self._rows = np.empty((n_rows, n_taps), dtype=samples.dtype)
        # Real and imaginary parts side by side: one real product, whose result is viewed as complex numbers.
        interleaved = np.stack([group.taps.real, group.taps.imag], axis=2).reshape(n_taps, -1)
        self._taps = np.ascontiguousarray(interleaved, dtype=samples.dtype)
        self._rows_per_fine = spec.fine_samples // group.decimation
        self._lags = coherence_lags(group, spec)
        self._n_past = max(self._lags)
        complex_dtype = np.result_type(samples.dtype, np.complex64)
        # Past coefficients are kept before those of the hop: the lags reach back into earlier hops.
        self._coefficients = np.zeros((self._n_past + n_rows, self._n_bands), dtype=complex_dtype)

    def reset(self) -> None:
        self._coefficients[:] = 0

    def compute(self) -> HopEnergies:
        # Matrix products need contiguous rows, and reusing the memory avoids an allocation per hop.
        np.copyto(self._rows, self._view)
        past = self._n_past
        self._coefficients[:past] = self._coefficients[-past:]
        # Written in place: seen as real numbers, the coefficients are the interleaved parts that the product gives.
        np.matmul(self._rows, self._taps, out=self._coefficients[past:].view(self._rows.dtype))
        now = self._coefficients[past:]
        squares = now.real**2 + now.imag**2
        energies = np.add.reduce(squares.reshape(-1, self._rows_per_fine, self._n_bands), axis=1) / self._rows_per_fine
        return HopEnergies(energies, self._coherences(now), sum_over_rows(squares))

    def _coherences(self, now: npt.NDArray[np.complexfloating]) -> npt.NDArray[np.complexfloating]:
        past, n_all = self._n_past, len(self._coefficients)
        conjugates = np.conjugate(self._coefficients)
        # Each slice is as long as the hop, `lag` coefficients earlier.
        return np.array([sum_over_rows(now * conjugates[past - lag : n_all - lag]) for lag in self._lags])


def coherence_lags(group: BandGroup, spec: FeatureSpec) -> list[int]:
    """Return the lags of the coherences of a group, in coefficients: those of its middle band, at least 1."""
    # One lag for the whole group, so that a single slice serves all its bands.
    band = design_bands(spec)[group.first_band + group.taps.shape[1] // 2]
    return [
        max(1, round(per_inverse_sigma / band.sigma_hz * spec.sample_rate_hz / band.decimation))
        for per_inverse_sigma in LAGS_PER_INVERSE_SIGMA
    ]


def delay_samples(spec: FeatureSpec) -> int:
    """Return the distance of the results of a bank from the newest sample: half of the longest wavelet."""
    return max(len(group.taps) // 2 for group in group_bands(spec))


def memory_samples(spec: FeatureSpec) -> int:
    """Return the number of samples after which a sample affects no result of a bank."""
    # Both halves of the longest wavelet, then the lag of the coherences.
    past_samples = [max(coherence_lags(group, spec)) * group.decimation for group in group_bands(spec)]
    return 2 * delay_samples(spec) + max(past_samples)
