"""Change-point detection on levels, which back-dates onsets and offsets.

The score of a window lags by up to the length of the window; the levels of short frames do not. The test is the
two-mean likelihood ratio for one change in Gaussian noise (Page 1954; Basseville and Nikiforov 1993,
chapter 2): the split that maximises sqrt(n_before n_after / n) (mean_after - mean_before).
"""

from __future__ import annotations

from collections import deque

import numpy as np

from streamgmm.arrays import Float64Array

MIN_CHANGE_DB = 3.0
"""Minimum change of the mean level that counts as an onset: a doubling of the power (dB)."""


def rise(levels_db: Float64Array, min_change_db: float = MIN_CHANGE_DB) -> int | None:
    """Return the index of the first level after the most likely upward change.

    Args:
        levels_db: shape (n,), levels (dB) at equal intervals.
        min_change_db: minimum difference between the means after and before the change.

    Returns:
        1 to n - 1, the earliest of equally likely changes; None if no change is large enough, or if a level is not
        finite.
    """
    n = levels_db.size
    # The cumulative sum would spread a single NaN over all splits.
    if n < 2 or not np.isfinite(levels_db).all():
        return None
    # All splits at once: both means follow from the cumulative sum.
    sums = np.cumsum(levels_db)
    n_before = np.arange(1, n)
    n_after = n - n_before
    changes_db = (sums[-1] - sums[:-1]) / n_after - sums[:-1] / n_before
    # The constant factor 1 / sqrt(n) does not move the maximum.
    best = int(np.argmax(np.sqrt(n_before * n_after) * changes_db))
    return best + 1 if changes_db[best] >= min_change_db else None


def fall(levels_db: Float64Array, min_change_db: float = MIN_CHANGE_DB) -> int | None:
    """Return the index of the first level after the most likely downward change; see `rise`."""
    return rise(-levels_db, min_change_db)


class LevelHistory:
    """The most recent levels and their positions in the stream.

    Args:
        n_levels: number of levels kept.
        level_samples: samples per level.
        floor_dbfs: lower levels are raised to this one, so that a step from digital silence is not overrated.
    """

    def __init__(self, n_levels: int, level_samples: int, floor_dbfs: float) -> None:
        self._n_levels = n_levels
        self._level_samples = level_samples
        self._floor_dbfs = floor_dbfs
        # As they came: they are joined only where a change is dated, which few hops need.
        self._parts: deque[Float64Array]
        self._n_held: int
        self._end_sample: int
        self.clear()

    def append(self, levels_db: Float64Array, end_sample: int) -> None:
        """Add levels, oldest first, the last ending at `end_sample`.

        After a gap, the earlier levels are dropped: a change across a gap cannot be dated.
        """
        if end_sample - levels_db.size * self._level_samples != self._end_sample:
            self.clear()
        if levels_db.size:
            self._parts.append(levels_db.copy())
        self._n_held += levels_db.size
        while self._parts and self._n_held - self._parts[0].size >= self._n_levels:
            self._n_held -= self._parts.popleft().size
        self._end_sample = end_sample

    def last_rise_sample(self) -> int | None:
        """Return the position of the most likely rise; None if there is none."""
        levels_db = self._joined()
        i_level = rise(levels_db)
        return None if i_level is None else self._position(i_level, levels_db.size)

    def last_fall_sample(self, onset_sample: int) -> int | None:
        """Return the position of the most likely fall after `onset_sample`; None if there is none."""
        # A long quiet stretch before the onset would pull down the mean before the fall, and hide it.
        n_since = max(0, (self._end_sample - onset_sample) // self._level_samples)
        levels_db = self._joined()
        skipped = max(0, levels_db.size - n_since)
        i_level = fall(levels_db[skipped:])
        return None if i_level is None else self._position(skipped + i_level, levels_db.size)

    def clear(self) -> None:
        """Drop all levels."""
        self._parts, self._n_held = deque(), 0
        self._end_sample = 0

    def _joined(self) -> Float64Array:
        joined = np.concatenate((np.empty(0), *self._parts))
        return np.maximum(joined[-self._n_levels :], self._floor_dbfs)

    def _position(self, i_level: int, n_levels: int) -> int:
        # Counted from the end, because the history may be shorter than `n_levels`.
        return self._end_sample - (n_levels - i_level) * self._level_samples
