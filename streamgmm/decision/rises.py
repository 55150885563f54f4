"""Where the score of each label last rose, with the level: a sound begins there, however late it reaches the threshold.

A high threshold is often reached late in a long sound. As in hysteresis thresholding of images (Canny, IEEE PAMI 8,
1986), what leads to it without a break above the lower threshold belongs to it. A break may be as long as the hangover.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.decision.change_point import LevelHistory
from streamgmm.decision.events import LabelRule

MAX_RISE_S = 5.0
"""Longest time from a rise to the onset threshold (s). A score that was high for longer rose with something else."""


class Rises:
    """The last rise of the score of each label to its offset threshold.

    Args:
        rules: one per label.
        hop_samples: length of one hop.
        max_samples: longest time from a rise to the onset threshold.
    """

    def __init__(self, rules: Sequence[LabelRule], hop_samples: int, max_samples: int) -> None:
        # Above 0: a rejected label, whose score is 0, is below every threshold.
        self._thresholds = np.maximum([rule.offset_threshold for rule in rules], np.nextafter(0.0, 1.0))
        self._hangover_samples = np.array([rule.hangover_samples for rule in rules])
        self._hop_samples = hop_samples
        self._max_samples = max_samples
        self.reset()

    def reset(self) -> None:
        """Forget all rises, e.g. at a loss of audio."""
        # Position from which a score that is above its threshold has risen anew, by label.
        self._anew_samples = np.full(len(self._thresholds), np.iinfo(np.int64).min)
        # By label: the first hop of the rise, and the sound that began with it.
        self._rises: dict[int, tuple[int, int]] = {}

    def update(self, scores: Float64Array, end_sample: int, history: LevelHistory) -> None:
        """Add a hop.

        Args:
            scores: float64, shape (n_labels,), 0 for rejected labels.
            end_sample: position just after the hop.
            history: levels up to the hop.
        """
        are_above = scores >= self._thresholds
        if not np.logical_or.reduce(are_above):
            return
        first_sample = end_sample - self._hop_samples
        risen = (are_above & (first_sample > self._anew_samples)).nonzero()[0].tolist()
        self._anew_samples[are_above] = (end_sample + self._hangover_samples)[are_above]
        if risen:
            risen_sample = history.last_rise_sample()
            rise = first_sample, first_sample if risen_sample is None else risen_sample
            self._rises |= dict.fromkeys(risen, rise)

    def onset_before(self, i_label: int, first_sample: int) -> int | None:
        """Return where the sound began whose score reaches the onset threshold with the hop at `first_sample`.

        None if its score rose too long before.
        """
        rose_sample, onset_sample = self._rises.get(i_label, (first_sample - self._max_samples - 1, 0))
        return onset_sample if first_sample - rose_sample <= self._max_samples else None
