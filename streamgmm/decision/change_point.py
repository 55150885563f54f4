"""Where the level rose or fell within a short stretch: the back-dating of onsets and offsets.

A window delays its score by up to its own length; the level of each short hop does not. The test is
the two-mean likelihood ratio for one change in Gaussian noise (Page 1954; Basseville and Nikiforov 1993,
chapter 2): the split that maximises sqrt(n_before n_after / n) (mean_after - mean_before).
"""

from __future__ import annotations

import numpy as np

from streamgmm.arrays import Float64Array

MIN_CHANGE_DB = 3.0
"""Smaller changes of the mean level are no onset: twice the power (dB)."""


def rise(levels_db: Float64Array, min_change_db: float = MIN_CHANGE_DB) -> int | None:
    """Index of the first level after the most likely upward change.

    Args:
        levels_db: shape (n,), levels in dB at equal distances.
        min_change_db: least difference of the means after and before.

    Returns:
        1 to n - 1; the earliest of equally likely ones. None if no change is large enough, or if a level
        is not finite.
    """
    n = levels_db.size
    if n < 2 or not np.isfinite(levels_db).all():
        return None
    # All splits at once: either mean follows from the running sum.
    sums = np.cumsum(levels_db)
    n_before = np.arange(1, n)
    n_after = n - n_before
    changes_db = (sums[-1] - sums[:-1]) / n_after - sums[:-1] / n_before
    # The constant factor 1 / sqrt(n) does not move the maximum.
    best = int(np.argmax(np.sqrt(n_before * n_after) * changes_db))
    return best + 1 if changes_db[best] >= min_change_db else None


def fall(levels_db: Float64Array, min_change_db: float = MIN_CHANGE_DB) -> int | None:
    """Index of the first level after the most likely downward change; see `rise`."""
    return rise(-levels_db, min_change_db)


class LevelHistory:
    """The last levels and where they were.

    Args:
        n_levels: how many are kept.
        level_samples: samples per level.
        floor_dbfs: lower levels count as this one, so that digital silence is no cliff.
    """

    def __init__(self, n_levels: int, level_samples: int, floor_dbfs: float) -> None:
        self._n_levels = n_levels
        self._level_samples = level_samples
        self._floor_dbfs = floor_dbfs
        self._levels_db: Float64Array
        self._end_sample: int
        self.clear()

    def append(self, levels_db: Float64Array, end_sample: int) -> None:
        """Add levels, oldest first, the last ending at `end_sample`; what does not adjoin them is forgotten."""
        if end_sample - levels_db.size * self._level_samples != self._end_sample:
            self.clear()
        kept = np.concatenate((self._levels_db, np.maximum(levels_db, self._floor_dbfs)))
        self._levels_db = kept[-self._n_levels :]
        self._end_sample = end_sample

    def last_rise_sample(self) -> int | None:
        """Position of the most likely rise; None if there is none."""
        i_level = rise(self._levels_db)
        return None if i_level is None else self._position(i_level)

    def last_fall_sample(self, onset_sample: int) -> int | None:
        """Position of the most likely fall after `onset_sample`; None if there is none."""
        # Levels before the onset would make a long quiet stretch there look like the fall's other side.
        n_since = max(0, (self._end_sample - onset_sample) // self._level_samples)
        skipped = max(0, self._levels_db.size - n_since)
        i_level = fall(self._levels_db[skipped:])
        return None if i_level is None else self._position(skipped + i_level)

    def clear(self) -> None:
        """Forget all levels."""
        self._levels_db = np.empty(0)
        self._end_sample = 0

    def _position(self, i_level: int) -> int:
        return self._end_sample - (self._levels_db.size - i_level) * self._level_samples
