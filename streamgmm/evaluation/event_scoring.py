"""Scores of detections against annotations, as pure functions on lists of events.

The definitions are those of Mesaros, Heittola and Virtanen, "Metrics for Polyphonic Sound Event
Detection", Applied Sciences 6(6), 2016. Every function counts in one recording; counts of several
recordings are added before shares are computed, so that a long recording weighs more than a short one.
Counts of one label are those of its events alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm.arrays import BoolArray
from streamgmm.evaluation.matching import Matches, Rating, match_events
from streamgmm.listening.events import Annotation, Detection, is_same_sound

OFFSET_SHARE = 0.5
"""Share of the length of a true event by which its offset may be wrong (section 3.2.2 of the paper)."""

RIGHT, SUBSTITUTED = 2, 1
"""Ranks of pairs: of one label, and of different labels."""


class Criteria(msgspec.Struct, frozen=True, kw_only=True):
    """The criteria by which an event is right.

    Attributes:
        segment_s: length of the segments that are compared (s).
        onset_collar_s: largest distance of a detected onset from the true one (s); above 0.
        offset_collar_s: the same of offsets, or half the length of the event if that is more (s); None if offsets
            are not compared.
    """

    segment_s: float = 0.1
    onset_collar_s: float = 0.5
    offset_collar_s: float | None = None


class Counts(NamedTuple):
    """Counts of events, or of label activities in segments.

    Attributes:
        n_true: in the annotations.
        n_found: in the detections.
        n_right: in both.
        n_substituted: detected with another label.
        n_deleted: annotated without a detection.
        n_inserted: detected without an annotation.
    """

    n_true: int = 0
    n_found: int = 0
    n_right: int = 0
    n_substituted: int = 0
    n_deleted: int = 0
    n_inserted: int = 0


class DetectionScores(msgspec.Struct, frozen=True, kw_only=True):
    """Shares computed from `Counts`; None where the divisor is 0.

    Attributes:
        precision: share of detections that are right.
        recall: share of annotations that were found.
        f1: harmonic mean of precision and recall.
        error_rate: substitutions, deletions and insertions per annotation; may exceed 1.
        substitution_rate: substitutions per annotation.
        deletion_rate: deletions per annotation.
        insertion_rate: insertions per annotation; may exceed 1.
        n_true: number of annotations.
        n_found: number of detections.
        n_right: number of detections that are right.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    error_rate: float | None
    substitution_rate: float | None
    deletion_rate: float | None
    insertion_rate: float | None
    n_true: int
    n_found: int
    n_right: int


def added(counts: Iterable[Counts]) -> Counts:
    """Return the counts of all recordings together."""
    return Counts(*(sum(numbers) for numbers in zip(*counts, strict=True)))


def scores_of_counts(counts: Counts) -> DetectionScores:
    """Return the shares that follow from `counts`."""
    n_true, n_found, n_right, *errors = counts
    substitution_rate, deletion_rate, insertion_rate = (_ratio(n_errors, n_true) for n_errors in errors)
    return DetectionScores(
        precision=_ratio(n_right, n_found),
        recall=_ratio(n_right, n_true),
        # The harmonic mean as one fraction, which is defined even where precision or recall is not.
        f1=_ratio(2 * n_right, n_true + n_found),
        error_rate=_ratio(sum(errors), n_true),
        substitution_rate=substitution_rate,
        deletion_rate=deletion_rate,
        insertion_rate=insertion_rate,
        n_true=n_true,
        n_found=n_found,
        n_right=n_right,
    )


def segment_counts(
    truth: Sequence[Annotation], found: Sequence[Detection], duration_s: float, segment_s: float
) -> Counts:
    """Compare which labels are active in each segment (section 3.1 of the paper).

    A label is active in a segment if any part of one of its events lies in it.

    Args:
        truth: annotations.
        found: detections.
        duration_s: length of the recording (s); later events are not compared.
        segment_s: length of a segment (s).
    """
    labels = sorted({event.label for event in truth} | {event.label for event in found})
    n_segments = _segment(duration_s, segment_s, math.ceil)
    is_true, is_found = (_activity(events, labels, n_segments, segment_s) for events in (truth, found))
    # Counts of active labels in each segment, shape (n_segments,). Misses and false activities of one segment are first
    # paired as substitutions; what is left are deletions or insertions.
    n_true, n_found = is_true.sum(axis=1), is_found.sum(axis=1)
    n_right = (is_true & is_found).sum(axis=1)
    return Counts(
        n_true=int(n_true.sum()),
        n_found=int(n_found.sum()),
        n_right=int(n_right.sum()),
        n_substituted=int((np.minimum(n_true, n_found) - n_right).sum()),
        n_deleted=int(np.maximum(n_true - n_found, 0).sum()),
        n_inserted=int(np.maximum(n_found - n_true, 0).sum()),
    )


def event_counts(matches: Matches) -> Counts:
    """Compare events as a whole (section 3.2 of the paper)."""
    n_pairs, n_missed, n_false = len(matches.pairs), len(matches.missed), len(matches.false)
    n_right = sum(pair.is_right for pair in matches.pairs)
    return Counts(
        n_true=n_pairs + n_missed,
        n_found=n_pairs + n_false,
        n_right=n_right,
        n_substituted=n_pairs - n_right,
        n_deleted=n_missed,
        n_inserted=n_false,
    )


def match_within_collars(truth: Sequence[Annotation], found: Sequence[Detection], criteria: Criteria) -> Matches:
    """Match events whose onsets (and offsets, if requested) are within the collars.

    Pairs of one label come before substitutions, and closer onsets before others.
    """
    return match_events(truth, found, partial(_fit_within_collars, criteria=criteria), criteria.onset_collar_s)


def false_alarms(truth: Sequence[Annotation], found: Sequence[Detection], collar_s: float) -> list[Detection]:
    """Return the detections during which, collar included, nothing of their label sounds.

    Less strict than an insertion: an event that is reported twice or too late is an error but not a false alarm.
    """
    return [event for event in found if not any(is_same_sound(true, event, collar_s) for true in truth)]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _segment(time_s: float, segment_s: float, rounded: Callable[[float], int]) -> int:
    # Rounded to the millionth first: 0.3 / 0.1 is less than 3 in binary.
    return rounded(round(time_s / segment_s, 6))


def _activity(
    events: Iterable[Annotation | Detection], labels: Sequence[str], n_segments: int, segment_s: float
) -> BoolArray:
    """Return whether each label is active in each segment, shape (n_segments, n_labels)."""
    is_active = np.zeros((n_segments, len(labels)), dtype=np.bool_)
    for event in events:
        first, end = _segment(event.onset_s, segment_s, math.floor), _segment(event.offset_s, segment_s, math.ceil)
        # The slice ends with the recording at the latest: later parts of events are not compared.
        is_active[first:end, labels.index(event.label)] = True
    return is_active


def _fit_within_collars(truth: Annotation, found: Detection, criteria: Criteria) -> Rating | None:
    if not _is_within_collars(truth, found, criteria):
        return None
    # 1 for equal onsets, 0 at the edge of the collar.
    closeness = 1.0 - abs(truth.onset_s - found.onset_s) / criteria.onset_collar_s
    return Rating(RIGHT if truth.label == found.label else SUBSTITUTED, closeness)


def _is_within_collars(truth: Annotation, found: Detection, criteria: Criteria) -> bool:
    if abs(truth.onset_s - found.onset_s) > criteria.onset_collar_s:
        return False
    if criteria.offset_collar_s is None:
        return True
    tolerance_s = max(criteria.offset_collar_s, OFFSET_SHARE * (truth.offset_s - truth.onset_s))
    return abs(truth.offset_s - found.offset_s) <= tolerance_s
