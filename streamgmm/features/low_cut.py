"""High-pass filter below the lowest band, so that levels measure only what the bank passes.

Microphones add offsets, offsets that drift or decay, and rumble of a few hertz. No band covers these frequencies, so
they must not open the silence gate, make a pause count as sound, or hide an onset. The filter is a Butterworth
high-pass (Butterworth, Experimental Wireless, 1930) by the bilinear transform (Oppenheim and Schafer, Discrete-Time
Signal Processing, 2010, section 7.2) in parallel form: a sum of decaying oscillations, called modes here.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Complex128Array, Float32Array, Float64Array, FloatArray
from streamgmm.features.spec import FeatureSpec

ORDER = 8
"""Filter order, even as modes come in conjugate pairs; attenuates 10 Hz by 65 dB for a lowest band of 30 Hz."""

CUTOFF_SHARE = 0.85
"""Half-power frequency relative to the centre of the lowest band, which is attenuated by 0.3 dB."""

STILL_RANGE = 1e-6
"""Blocks whose samples differ by less count as silent, even if the filter still rings: a thirtieth of the step of
16-bit audio, but more than the ripple of resampled zeros."""


class _Filter(NamedTuple):
    """The high-pass as matrices for blocks of n samples, with m modes; states are real and imaginary parts.

    Attributes:
        into_state: float32, shape (n, 2 m), from a block to its contribution to the state after it.
        carry: complex128, shape (m, n_blocks + 1, n_blocks + 1), from the state before the hop (column 0) and the
            contribution of each block to the states before each block and after the last one.
        output: float32, shape (n + 2 m, n), from a block and the state before it to the filtered block.
        first_state: float64, shape (hop_samples, 2 m), from the output of a first hop that started with states of 0
            to the states that would have made this output smallest.
    """

    into_state: Float32Array
    carry: Complex128Array
    output: Float32Array
    first_state: Float64Array


class LowCut:
    """Streaming high-pass below the lowest band of a bank, for whole hops and without delay.

    After `reset`, the states are those that fit the first hop best (least squares): a stream that starts with an
    offset, or in the middle of a slow movement, does not start with a click.

    Args:
        spec: defines the bank and the length of hops.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self._filter = _design(spec)
        n_blocks = spec.hop_samples // spec.fine_samples
        # One row per block: its samples, then the real and imaginary parts of the ORDER / 2 modes before it.
        self._inputs = np.zeros((n_blocks, spec.fine_samples + ORDER), dtype=np.float32)
        # A view: the samples of a hop are written to their place in the matrix product.
        self._samples = self._inputs[:, : spec.fine_samples]
        # Index 0 is the state before the hop; the contributions of its blocks follow.
        self._contributions = np.zeros((ORDER // 2, n_blocks + 1, 1), dtype=np.complex128)
        self.reset()

    def reset(self) -> None:
        """Drop all samples; the next hop starts a stream."""
        self._contributions[:] = 0.0
        self._is_first = True

    def push_hop(self, samples: FloatArray) -> Float32Array:
        """Filter the next `hop_samples` samples; return float32, shape (hop_samples,)."""
        self._samples[:] = samples.reshape(self._samples.shape)
        # A real product, whose pairs of columns are viewed as complex numbers, takes half the work of a complex one.
        self._contributions[:, 1:, 0] = (self._samples @ self._filter.into_state).view(np.complex64).T
        if self._is_first:
            self._is_first = False
            # Run from zero states first; what comes out shows which states the stream had before.
            begun = self._run().ravel() @ self._filter.first_state
            self._contributions[:, 0, 0] = begun.view(np.complex128)
        filtered = self._run()
        self._contributions[:, 0, 0] = self._last_state
        # Ringing after a sound must not count as level: a constant block gives exact zeros.
        ranges = np.maximum.reduce(self._samples, axis=1) - np.minimum.reduce(self._samples, axis=1)
        filtered[ranges < STILL_RANGE] = 0.0
        return filtered.ravel()

    def _run(self) -> Float32Array:
        # (m, n_blocks + 1, n_blocks + 1) @ (m, n_blocks + 1, 1): the state before each block and after the last one.
        states = (self._filter.carry @ self._contributions)[:, :, 0].T
        self._last_state = states[-1]
        self._inputs[:, self._samples.shape[1] :] = np.ascontiguousarray(states[:-1]).view(np.float64)
        return self._inputs @ self._filter.output


def low_cut(samples: FloatArray, spec: FeatureSpec) -> Float32Array:
    """Filter a whole recording, shape (n,), bit for bit like a stream of it; return float32, shape (n,)."""
    n_missing = -len(samples) % spec.hop_samples
    # The last sample is repeated: zeros after an offset would be a step.
    hops = np.pad(samples, (0, n_missing), mode="edge").reshape(-1, spec.hop_samples) if len(samples) else samples
    stream = LowCut(spec)
    filtered = [stream.push_hop(hop) for hop in hops]
    return np.concatenate([np.zeros(0, np.float32), *filtered])[: len(samples)]


@lru_cache(maxsize=8)
def _design(spec: FeatureSpec) -> _Filter:
    n, n_blocks = spec.fine_samples, spec.hop_samples // spec.fine_samples
    # A recursion over samples would be a slow loop in Python. Within a block, the response is a matrix product;
    # from block to block, each mode decays by its pole to the power of the block length.
    direct, poles, residues = low_cut_modes(spec)
    powers = poles ** np.arange(n)[:, np.newaxis]
    # The impulse response: the direct gain, then the sum of the decaying modes.
    response = np.append(direct, 2.0 * (powers @ residues).real)
    ages = np.arange(n) - np.arange(n)[:, np.newaxis]
    # A Toeplitz matrix: rows are the samples of the input, columns those of the output.
    within = np.where(ages >= 0, response[np.maximum(ages, 0)], 0.0)
    blocks = np.arange(n_blocks + 1)
    block_ages = blocks[:, np.newaxis] - blocks
    carry = np.where(block_ages >= 0, poles[:, np.newaxis, np.newaxis] ** (n * np.maximum(block_ages, 0)), 0.0)
    return _Filter(
        np.ascontiguousarray(powers[::-1]).view(np.float64).astype(np.float32),
        carry,
        np.concatenate([within, _as_real(residues * powers).T]).astype(np.float32),
        first_state(spec),
    )


def low_cut_modes(spec: FeatureSpec) -> tuple[float, Complex128Array, Complex128Array]:
    """Return direct gain, poles and residues of the high-pass, shape (ORDER / 2,).

    One pole of each pair is returned: y[n] = direct x[n] + 2 Re(sum of residue s[n]), s[n + 1] = pole s[n] + x[n].
    """
    cutoff = CUTOFF_SHARE * spec.min_hz / spec.sample_rate_hz  # in cycles per sample
    # Poles of the analogue filter on the left half of a circle: the inversion from low-pass to high-pass permutes them.
    angles = np.pi * (2 * np.arange(ORDER) + ORDER + 1) / (2 * ORDER)
    prototype = math.tan(math.pi * cutoff) * np.exp(1j * angles)
    # The bilinear transform. The tangent warps the cutoff beforehand, so half power falls exactly on it.
    poles = (1.0 + prototype) / (1.0 - prototype)
    # Normalised to gain 1 at half the sample rate.
    direct = float(np.prod((1.0 + poles) / 2.0).real)
    # Partial fractions: all zeros lie at 1, so each residue follows from the distances of its pole to the others.
    differences = poles[:, np.newaxis] - poles
    np.fill_diagonal(differences, 1.0)
    residues = direct * (poles - 1.0) ** ORDER / differences.prod(axis=1)
    is_upper = poles.imag > 0.0
    return direct, poles[is_upper], residues[is_upper]


def _as_real(of_states: Complex128Array) -> Float64Array:
    """Return the matrix (n, 2 m) that gives 2 Re(of_states @ states) from real and imaginary parts."""
    return 2.0 * np.ascontiguousarray(of_states.conj()).view(np.float64)


@lru_cache(maxsize=8)
def first_state(spec: FeatureSpec) -> Float64Array:
    """Return the matrix from the output of a first hop that started with states of 0 to the states that fit it best.

    This is the negative pseudo-inverse of the map from states to the hop after them, of limited rank. A band of width B
    has 2 B T degrees of freedom in T seconds (Slepian, Bell System Technical Journal, 1976). A higher rank would fit
    the noise of a short hop, and pass a large state on to the next one.

    Returns:
        float64, shape (hop_samples, ORDER).
    """
    _, poles, residues = low_cut_modes(spec)
    hop_s = spec.hop_samples / spec.sample_rate_hz
    rank = min(ORDER, 2 + math.ceil(2.0 * CUTOFF_SHARE * spec.min_hz * hop_s))
    # The output of a hop for given states before it and no input.
    of_states = _as_real(residues * poles ** np.arange(spec.hop_samples)[:, np.newaxis])
    # Only the best determined directions are inverted, those with the largest gains.
    outputs, gains, states = np.linalg.svd(of_states, full_matrices=False)
    # Transposed, because states are rows; negative, so that the states cancel the output.
    return np.asarray(-(outputs[:, :rank] / gains[:rank]) @ states[:rank])
