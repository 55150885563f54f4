"""The streaming wavelet transform: one hop of samples in, the hop's band energies out.

Each group of bands is one matrix product over overlapping rows of samples. Every product has the same
shape, whatever the blocks the samples came in, because the sums of a matrix product depend on its shape
in the last bit: so a stream and a file give identical results.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from streamgmm.arrays import FloatArray
from streamgmm.features.bank import Band, BandGroup, design_bands, group_bands
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.sums import sum_over_rows

LAGS_PER_INVERSE_SIGMA = (0.45, 0.9)
"""Lags, in units of 1 / sigma_hz, at which a band's coefficients are compared with themselves:
noise has lost its phase there, a tone has not."""


class HopEnergies(NamedTuple):
    """What the bank says about one hop.

    Attributes:
        energies: shape (hop_fine, n_bands), mean squared magnitude per point of the fine grid; a
            full-scale cosine at a band's centre gives 1.
        coherences: complex, shape (n_lags, n_bands), sums of c[n] conj(c[n - lag]) over the hop.
        powers: shape (n_bands,), sums of |c[n]|^2 over the hop.
    """

    energies: FloatArray
    coherences: npt.NDArray[np.complexfloating]
    powers: FloatArray


class WaveletTransform:
    """Turns hops of samples into band energies, with a constant delay of `delay_samples`.

    Args:
        spec: the bank's numbers.
        dtype: float32 (half the time, relative error 1e-6) or float64.

    Attributes:
        delay_samples: how far the results lie behind the newest sample.
        memory_samples: a sample reaches no result later than this many samples after itself.
    """

    def __init__(self, spec: FeatureSpec, dtype: npt.DTypeLike = np.float32) -> None:
        self.spec = spec
        self.bands = design_bands(spec)
        groups = group_bands(spec)
        self.delay_samples = max(len(group.taps) // 2 for group in groups)
        self._samples = np.zeros(2 * self.delay_samples + spec.hop_samples, dtype=dtype)
        self._groups = [_GroupTransform(group, self.bands, self.delay_samples, spec, self._samples) for group in groups]
        # Both halves of the longest wavelet, then the lag at which its coefficients are compared.
        self.memory_samples = 2 * self.delay_samples + max(group.past_samples for group in self._groups)

    def push_hop(self, samples: FloatArray) -> HopEnergies:
        """Transform the next `spec.hop_samples` samples, shape (hop_samples,)."""
        keep = 2 * self.delay_samples
        self._samples[:keep] = self._samples[-keep:]
        self._samples[keep:] = samples
        parts = [group.compute() for group in self._groups]
        return HopEnergies(
            np.concatenate([part.energies for part in parts], axis=1),
            np.concatenate([part.coherences for part in parts], axis=1),
            np.concatenate([part.powers for part in parts]),
        )

    def reset(self) -> None:
        """Forget all samples, as if none had come."""
        self._samples[:] = 0
        for group in self._groups:
            group.reset()


class _GroupTransform:
    """The bands of one decimation."""

    def __init__(self, group: BandGroup, bands: list[Band], delay_samples: int, spec: FeatureSpec, samples: FloatArray):
        n_taps, self._n_bands = group.taps.shape
        self._decimation = group.decimation
        n_rows = spec.hop_samples // group.decimation
        # Rows are centred `delay_samples` behind the newest sample: all bands look at the same moment.
        first = samples[delay_samples - n_taps // 2 :]
        self._view = as_strided(first, (n_rows, n_taps), (group.decimation * samples.itemsize, samples.itemsize))
        self._rows = np.empty((n_rows, n_taps), dtype=samples.dtype)
        interleaved = np.stack([group.taps.real, group.taps.imag], axis=2).reshape(n_taps, -1)
        self._taps = np.ascontiguousarray(interleaved, dtype=samples.dtype)
        self._rows_per_fine = spec.fine_samples // group.decimation
        own = bands[group.first_band : group.first_band + self._n_bands]
        self._lags = [_lag(own, lag, spec.sample_rate_hz) for lag in LAGS_PER_INVERSE_SIGMA]
        self._n_past = max(self._lags)
        self.past_samples = self._n_past * group.decimation
        complex_dtype = np.result_type(samples.dtype, np.complex64)
        self._coefficients = np.zeros((self._n_past + n_rows, self._n_bands), dtype=complex_dtype)

    def reset(self) -> None:
        self._coefficients[:] = 0

    def compute(self) -> HopEnergies:
        np.copyto(self._rows, self._view)
        past = self._n_past
        self._coefficients[:past] = self._coefficients[-past:]
        np.matmul(self._rows, self._taps, out=self._coefficients[past:].view(self._rows.dtype))
        now = self._coefficients[past:]
        squares = now.real**2 + now.imag**2
        energies = np.add.reduce(squares.reshape(-1, self._rows_per_fine, self._n_bands), axis=1) / self._rows_per_fine
        return HopEnergies(energies, self._coherences(now), sum_over_rows(squares))

    def _coherences(self, now: npt.NDArray[np.complexfloating]) -> npt.NDArray[np.complexfloating]:
        past, n_all = self._n_past, len(self._coefficients)
        conjugates = np.conjugate(self._coefficients)
        return np.array([sum_over_rows(now * conjugates[past - lag : n_all - lag]) for lag in self._lags])


def _lag(bands: list[Band], per_inverse_sigma: float, sample_rate_hz: int) -> int:
    """Whole coefficients nearest to the lag of the group's middle band, at least one."""
    band = bands[len(bands) // 2]
    return max(1, round(per_inverse_sigma / band.sigma_hz * sample_rate_hz / band.decimation))
