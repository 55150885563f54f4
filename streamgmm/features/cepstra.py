"""Frame vectors: what the spectrum is at one moment and how it moves, for words and voices.

A window of a second says what a sound is like altogether; what follows what within it is told by frames of
some 16 ms: cepstra of the same bank (Davis and Mermelstein, IEEE ASSP, 1980), less their running mean, and
their slopes, twice over (Furui, IEEE ASSP, 1986).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from streamgmm.arrays import BoolArray, Float64Array, FloatArray
from streamgmm.features.cosines import cosine_transform
from streamgmm.features.spec import FRAME_FINE, FeatureSpec
from streamgmm.features.window import FLOOR, MIN_ENERGY

MAX_CEPSTRA = 16
"""Cepstra kept: the coarse half of the spectrum of 32 bands."""

SLOPE_REACH = 3
"""Frames either way over which a slope is fitted (50 ms)."""

DELAY_FRAMES = 2 * SLOPE_REACH
"""A frame is told this many frames later, when the slopes of its slopes are known."""

MEAN_TIME_CONSTANT_S = 4.0
"""Memory of the running mean: it takes away microphone, room and part of the speaker, not the word."""

MEAN_PRIOR_S = 1.0
"""The running mean starts from a flat spectrum that weighs as much as this long a sound."""

PAUSE_RANGE_DB = 30.0
"""Frames this far below the running level are pauses, and no frame vector is made of them."""


class CepstralFrames:
    """Turns the energies of hops into the vectors of their frames, `DELAY_FRAMES` later.

    Args:
        spec: numbers of the bank.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        frame_s = spec.frame_samples / spec.sample_rate_hz
        self._keep = math.exp(-frame_s / MEAN_TIME_CONSTANT_S)
        self._prior_weight = MEAN_PRIOR_S / frame_s
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        n_cepstra = count_cepstra(self.spec)
        self._sum = np.zeros(n_cepstra)
        self._weight = self._prior_weight
        # The frames that slopes still reach; None before the first.
        self._cepstra: Float64Array | None = None
        self._centred = np.zeros((DELAY_FRAMES, n_cepstra))
        self._is_active = np.zeros(DELAY_FRAMES, dtype=bool)

    def push(self, energies: FloatArray, level: float) -> Float64Array:
        """Add the frames of a hop.

        Args:
            energies: shape (n_fine, n_bands), n_fine a multiple of the frame's points.
            level: running mean of the broadband energy.

        Returns:
            float64, shape (n, n_cepstral_features(spec)), of the active frames among those that became complete.
        """
        relative = energies.reshape(-1, FRAME_FINE, energies.shape[1]).sum(axis=1, dtype=np.float64)
        relative /= FRAME_FINE * max(level, MIN_ENERGY)
        cepstra = np.log(relative + FLOOR / relative.shape[1]) @ cosine_transform(
            relative.shape[1], count_cepstra(self.spec)
        )
        is_active = relative.sum(axis=1) > 10.0 ** (-PAUSE_RANGE_DB / 10.0)
        return self._complete(cepstra, self._centre(cepstra), is_active)

    def flush(self) -> Float64Array:
        """The last frames of a recording, as if its last one went on."""
        if self._cepstra is None:
            return np.zeros((0, n_cepstral_features(self.spec)))
        last = np.repeat(self._cepstra[-1:], DELAY_FRAMES, axis=0)
        return self._complete(last, last, np.zeros(DELAY_FRAMES, dtype=bool))

    def _centre(self, cepstra: Float64Array) -> Float64Array:
        """Cepstra less their exponential mean up to each of them."""
        kept, weights = _decay(len(cepstra), self._keep)
        sums = kept @ np.concatenate([self._sum[np.newaxis], cepstra])
        totals = kept[:, 0] * self._weight + weights
        self._sum, self._weight = sums[-1], float(totals[-1])
        return np.asarray(cepstra - sums / totals[:, np.newaxis])

    def _complete(self, cepstra: Float64Array, centred: Float64Array, is_active: BoolArray) -> Float64Array:
        """The vectors of the oldest `len(cepstra)` frames, now that what follows them is known."""
        # Before the first frame, as if it had always been.
        past = np.repeat(cepstra[:1], 2 * DELAY_FRAMES, axis=0) if self._cepstra is None else self._cepstra
        known = np.concatenate([past, cepstra])
        slopes = _slopes(known)
        statics = np.concatenate([self._centred, centred])
        is_wanted = np.concatenate([self._is_active, is_active])
        self._cepstra = known[-2 * DELAY_FRAMES :]
        self._centred, self._is_active = statics[-DELAY_FRAMES:], is_wanted[-DELAY_FRAMES:]
        n = len(cepstra)
        vectors = np.hstack([statics[:n], slopes[SLOPE_REACH:-SLOPE_REACH], _slopes(slopes)])
        active: Float64Array = vectors[is_wanted[:n]]
        return active


@lru_cache(maxsize=8)
def _decay(n: int, keep: float) -> tuple[Float64Array, Float64Array]:
    """What is left of the sum so far and of each of n values when each of these has come, and their weights.

    Returns:
        shapes (n, 1 + n) and (n,).
    """
    ages = np.arange(1, n + 1)[:, np.newaxis] - np.arange(n + 1)
    kept = np.where(ages >= 0, keep ** np.maximum(ages, 0), 0.0)
    return kept, kept[:, 1:].sum(axis=1)


def count_cepstra(spec: FeatureSpec) -> int:
    """Cepstra of a frame."""
    return min(MAX_CEPSTRA, spec.n_bands)


def n_cepstral_features(spec: FeatureSpec) -> int:
    """Length of a frame vector: cepstra, their slopes, and the slopes of these."""
    return 3 * count_cepstra(spec)


def _slopes(rows: Float64Array) -> Float64Array:
    """Slope of the least-squares line through each row and its neighbours; shape (n - 2 * SLOPE_REACH, n_columns)."""
    n = len(rows) - 2 * SLOPE_REACH
    total = np.zeros((n, rows.shape[1]))
    for k in range(1, SLOPE_REACH + 1):
        total += k * (rows[SLOPE_REACH + k : SLOPE_REACH + k + n] - rows[SLOPE_REACH - k : SLOPE_REACH - k + n])
    return total / (2 * sum(k * k for k in range(1, SLOPE_REACH + 1)))
