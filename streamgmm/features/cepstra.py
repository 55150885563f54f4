"""Cepstral frames: vectors of the spectrum every 16 ms and of its movement, for words and voices.

The vector of a window describes a second of sound as a whole. Cepstral frames describe the moments within it: cepstra
of the same bank (Davis and Mermelstein, IEEE ASSP, 1980) minus their running mean, with their slopes and the slopes
of these (Furui, IEEE ASSP, 1986).
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
"""Number of cepstra: the coarse half of the spectrum of 32 bands."""

SLOPE_REACH = 3
"""Frames on either side over which a slope is fitted (50 ms)."""

DELAY_FRAMES = 2 * SLOPE_REACH
"""Delay of a frame vector: the slopes of slopes need this many later frames."""

MEAN_TIME_CONSTANT_S = 4.0
"""Time constant of the running mean: long enough to remove microphone, room and part of the speaker, not the word."""

MEAN_PRIOR_S = 1.0
"""Weight of the flat spectrum from which the running mean starts, as a duration of sound."""

PAUSE_RANGE_DB = 30.0
"""Frames further below the running level are pauses, which give no frame vector."""


class CepstralFrames:
    """Turns the energies of hops into frame vectors, with a delay of `DELAY_FRAMES`.

    Args:
        spec: defines the bank and the length of frames.

    Attributes:
        keep: factor on the weight of earlier frames at each new one.
        prior_weight: weight of the spectrum from which the running mean starts, in frames.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        frame_s = spec.frame_samples / spec.sample_rate_hz
        # Within the time constant, the weight falls to 1/e.
        self.keep = math.exp(-frame_s / MEAN_TIME_CONSTANT_S)
        self.prior_weight = MEAN_PRIOR_S / frame_s
        self.reset()

    def reset(self) -> None:
        """Drop all frames, and start the running mean again."""
        n_cepstra = count_cepstra(self.spec)
        self._sum = np.zeros(n_cepstra)
        # A weight with a sum of 0: cepstra of 0 are the flat spectrum.
        self._weight = self.prior_weight
        # Frames that slopes of later frames still need; None before the first hop.
        self._cepstra: Float64Array | None = None
        self._centred = np.zeros((DELAY_FRAMES, n_cepstra))
        self._is_active = np.zeros(DELAY_FRAMES, dtype=bool)

    def push(self, energies: FloatArray, level: float) -> Float64Array:
        """Add the frames of a hop.

        Args:
            energies: shape (n_fine, n_bands), n_fine a multiple of `FRAME_FINE`.
            level: running mean of the broadband energy.

        Returns:
            float64, shape (n, n_cepstral_features(spec)): vectors of the frames that became complete and are no pauses.
        """
        relative = energies.reshape(-1, FRAME_FINE, energies.shape[1]).sum(axis=1, dtype=np.float64)
        # Relative to the running level, so that cepstra do not depend on the gain.
        relative /= FRAME_FINE * max(level, MIN_ENERGY)
        # The floor is spread over the bands, so that silence gives a flat spectrum, not the noise of rounding.
        cepstra = np.log(relative + FLOOR / relative.shape[1]) @ cosine_transform(
            relative.shape[1], count_cepstra(self.spec)
        )
        is_active = relative.sum(axis=1) > 10.0 ** (-PAUSE_RANGE_DB / 10.0)
        return self._complete(cepstra, self._centre(cepstra), is_active)

    def flush(self) -> Float64Array:
        """Return the vectors of the last frames of a recording, as if the last spectrum continued."""
        if self._cepstra is None:
            return np.zeros((0, n_cepstral_features(self.spec)))
        # The repeated frames only complete the slopes of those before them; they get no vectors of their own.
        last = np.repeat(self._cepstra[-1:], DELAY_FRAMES, axis=0)
        return self._complete(last, last, np.zeros(DELAY_FRAMES, dtype=bool))

    def _centre(self, cepstra: Float64Array) -> Float64Array:
        """Subtract from each row of `cepstra`, shape (n, n_cepstra), the exponential mean up to this row."""
        # One product gives the means of all frames; a Python loop over frames would be slower.
        kept, weights = _decay(len(cepstra), self.keep)
        sums = kept @ np.concatenate([self._sum[np.newaxis], cepstra])
        totals = kept[:, 0] * self._weight + weights
        self._sum, self._weight = sums[-1], float(totals[-1])
        return np.asarray(cepstra - sums / totals[:, np.newaxis])

    def _complete(self, cepstra: Float64Array, centred: Float64Array, is_active: BoolArray) -> Float64Array:
        """Return the vectors of the oldest `len(cepstra)` frames, whose slopes are now known."""
        # A stream starts as if its first spectrum had always been there: slopes of 0, no jump from silence.
        past = np.repeat(cepstra[:1], 2 * DELAY_FRAMES, axis=0) if self._cepstra is None else self._cepstra
        known = np.concatenate([past, cepstra])
        # Each fit takes DELAY_FRAMES rows from the 2 * DELAY_FRAMES + n known ones: n slopes of slopes remain.
        slopes = _slopes(known)
        statics = np.concatenate([self._centred, centred])
        is_wanted = np.concatenate([self._is_active, is_active])
        self._cepstra = known[-2 * DELAY_FRAMES :]
        self._centred, self._is_active = statics[-DELAY_FRAMES:], is_wanted[-DELAY_FRAMES:]
        # The vectors lag by DELAY_FRAMES: cepstra and pauses come from the stored frames first.
        n = len(cepstra)
        vectors = np.hstack([statics[:n], slopes[SLOPE_REACH:-SLOPE_REACH], _slopes(slopes)])
        active: Float64Array = vectors[is_wanted[:n]]
        return active


@lru_cache(maxsize=8)
def _decay(n: int, keep: float) -> tuple[Float64Array, Float64Array]:
    """Return the weights with which n values, added one by one, enter an exponential sum.

    Args:
        n: number of values.
        keep: factor on the sum for each value that is added.

    Returns:
        Shape (n, 1 + n), row by row after each value: the factor on the sum before the first value, then on each
        value; and shape (n,), the total weight of the values in each row.
    """
    # Values that come later have a negative age and no weight yet.
    ages = np.arange(1, n + 1)[:, np.newaxis] - np.arange(n + 1)
    kept = np.where(ages >= 0, keep ** np.maximum(ages, 0), 0.0)
    return kept, kept[:, 1:].sum(axis=1)


def count_cepstra(spec: FeatureSpec) -> int:
    """Return the number of cepstra of a frame."""
    return min(MAX_CEPSTRA, spec.n_bands)


def n_cepstral_features(spec: FeatureSpec) -> int:
    """Return the length of a frame vector: cepstra, their slopes, and the slopes of these."""
    return 3 * count_cepstra(spec)


def _slopes(rows: Float64Array) -> Float64Array:
    """Fit a line through each row and its neighbours; return the slopes, shape (n - 2 * SLOPE_REACH, n_columns)."""
    n = len(rows) - 2 * SLOPE_REACH
    total = np.zeros((n, rows.shape[1]))
    # With equally spaced rows, least squares reduces to weighted differences of rows at equal distances.
    for k in range(1, SLOPE_REACH + 1):
        total += k * (rows[SLOPE_REACH + k : SLOPE_REACH + k + n] - rows[SLOPE_REACH - k : SLOPE_REACH - k + n])
    return total / (2 * sum(k * k for k in range(1, SLOPE_REACH + 1)))
