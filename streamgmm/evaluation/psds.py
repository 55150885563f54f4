"""The polyphonic sound detection score (PSDS): quality of detections over all thresholds in one number.

Bilen, Ferroni, Tuveri, Azcarreta and Krstulovic, "A Framework for the Robust Evaluation of Sound
Event Detection", ICASSP 2020. With the plain settings of the paper: no penalty for cross triggers
(alpha_CT = 0) nor for uneven classes (alpha_ST = 0), and at most 100 false positives an hour.
Overlaps decide, not onsets, so neither a split event nor a merged one is an error in itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.listening.events import Annotation, Detection

MIN_SHARE_OF_FOUND = 0.5
"""Share of a detection that must lie in true events of its label, else it is false (rho_DTC)."""

MIN_SHARE_OF_TRUE = 0.5
"""Share of a true event that must lie in detections that are not false, else it is missed (rho_GTC)."""

MAX_FALSE_PER_HOUR = 100.0
"""Thresholds with more false positives per hour are ignored (e_max)."""


class Tally(NamedTuple):
    """Counts for one label at one threshold: true events that were found, and detections that are false."""

    n_found: int
    n_false: int


def tally(truth: Sequence[Annotation], found: Sequence[Detection]) -> Tally:
    """Count the events of one label in one recording; the events of a list do not overlap."""
    # A detection without duration overlaps nothing, and would divide by 0.
    found = [event for event in found if event.offset_s > event.onset_s]
    shared_s = _overlaps_s(found, truth)
    # Detection tolerance criterion, shape (n_found,).
    shares_of_found = (shared_s / _durations_s(found)[:, np.newaxis]).sum(axis=1)
    is_accepted = shares_of_found >= MIN_SHARE_OF_FOUND
    # Ground truth intersection criterion, shape (n_true,): only accepted detections count.
    shares_of_true = (shared_s[is_accepted] / _durations_s(truth)).sum(axis=0)
    return Tally(int((shares_of_true >= MIN_SHARE_OF_TRUE).sum()), int((~is_accepted).sum()))


def psds(recalls: Float64Array, false_per_hour: Float64Array, max_false_per_hour: float = MAX_FALSE_PER_HOUR) -> float:
    """Return the score, from 0 to 1.

    The score is the area below the curve of recall over false positives, averaged over labels. A threshold that another
    one beats in both does not count.

    Args:
        recalls: shape (n_thresholds, n_labels), share of the true events that were found.
        false_per_hour: shape (n_thresholds, n_labels), false positives per hour.
        max_false_per_hour: end of the curve.
    """
    areas = [_area(*curve, max_false_per_hour) for curve in zip(recalls.T, false_per_hour.T, strict=True)]
    return float(np.mean(areas)) / max_false_per_hour


def _area(recalls: Float64Array, false_per_hour: Float64Array, end: float) -> float:
    """Return the area below the staircase that begins at (0, 0), up to `end`."""
    order = np.argsort(false_per_hour, kind="stable")
    is_within = false_per_hour[order] <= end
    # The best recall with no more false positives, so a threshold that another one beats adds nothing.
    heights = np.maximum.accumulate(recalls[order][is_within])
    widths = np.diff(false_per_hour[order][is_within], append=end)
    return float(heights @ widths)


def _overlaps_s(found: Sequence[Detection], truth: Sequence[Annotation]) -> Float64Array:
    """Return the overlap of each detection with each true event (s), shape (n_found, n_true)."""
    (found_onsets_s, found_offsets_s), (onsets_s, offsets_s) = _times_s(found), _times_s(truth)
    first_s = np.maximum(found_onsets_s[:, np.newaxis], onsets_s)
    last_s = np.minimum(found_offsets_s[:, np.newaxis], offsets_s)
    return np.asarray(np.maximum(last_s - first_s, 0.0))


def _durations_s(events: Sequence[Annotation | Detection]) -> Float64Array:
    onsets_s, offsets_s = _times_s(events)
    return np.asarray(offsets_s - onsets_s)


def _times_s(events: Sequence[Annotation | Detection]) -> tuple[Float64Array, Float64Array]:
    return np.array([event.onset_s for event in events]), np.array([event.offset_s for event in events])
