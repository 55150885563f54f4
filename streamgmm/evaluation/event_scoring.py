"""Scores of found events against true ones, as pure functions on lists of events.

The definitions are those of Mesaros, Heittola and Virtanen, "Metrics for Polyphonic Sound Event
Detection", Applied Sciences 6(6), 2016. Every function counts in one recording; counts of several
recordings are added before shares are taken, so that a long recording weighs more than a short one.
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
from streamgmm.evaluation.matching import Fit, Matches, match_events
from streamgmm.listening.events import Annotation, Detection, is_same_sound

OFFSET_SHARE = 0.5
"""An offset may also be wrong by this share of the true event's length (section 3.2.2 of the paper)."""

RIGHT, SUBSTITUTED = 2, 1
"""Ranks of pairs: of one label, and of different labels."""


class Criteria(msgspec.Struct, frozen=True, kw_only=True):
    """What counts as right.

    Attributes:
        segment_s: length of the segments that are compared (s).
        onset_collar_s: a found onset is right this close to the true one (s); above 0.
        offset_collar_s: the offset must be this close too, or within half the event's length (s); None: it
            does not matter.
    """

    segment_s: float = 0.1
    onset_collar_s: float = 0.5
    offset_collar_s: float | None = None


class Counts(NamedTuple):
    """What was compared: events, or label activities of segments.

    Attributes:
        n_true: in the truth.
        n_found: in what was found.
        n_right: in both.
        n_substituted: found, but called by another label.
        n_deleted: in the truth, and nothing found for it.
        n_inserted: found without anything true.
    """

    n_true: int = 0
    n_found: int = 0
    n_right: int = 0
    n_substituted: int = 0
    n_deleted: int = 0
    n_inserted: int = 0


class DetectionScores(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of `Counts`; None where there is nothing to take a share of.

    Attributes:
        precision: share of what was found that is right.
        recall: share of the truth that was found.
        f1: their harmonic mean.
        error_rate: substitutions, deletions and insertions per true one; may exceed 1.
        substitution_rate: its part of substitutions.
        deletion_rate: its part of deletions.
        insertion_rate: its part of insertions.
        n_true: how many there are in the truth.
        n_found: how many were found.
        n_right: how many of those are right.
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
    """The counts of all recordings together."""
    return Counts(*(sum(numbers) for numbers in zip(*counts, strict=True)))


def scores_of_counts(counts: Counts) -> DetectionScores:
    """The shares that `counts` make."""
    n_true, n_found, n_right, *errors = counts
    substitution_rate, deletion_rate, insertion_rate = (_share(n_errors, n_true) for n_errors in errors)
    return DetectionScores(
        precision=_share(n_right, n_found),
        recall=_share(n_right, n_true),
        f1=_share(2 * n_right, n_true + n_found),
        error_rate=_share(sum(errors), n_true),
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
        truth: the true events.
        found: the found events.
        duration_s: length of the recording (s); what lies beyond is not compared.
        segment_s: length of a segment (s).
    """
    labels = sorted({event.label for event in truth} | {event.label for event in found})
    n_segments = _segment(duration_s, segment_s, math.ceil)
    is_true, is_found = (_activity(events, labels, n_segments, segment_s) for events in (truth, found))
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
    """Match events whose onsets (and offsets, if asked for) are within the collars.

    Pairs of one label come before substitutions, and closer onsets before others.
    """
    return match_events(truth, found, partial(_fit_within_collars, criteria=criteria), criteria.onset_collar_s)


def false_alarms(truth: Sequence[Annotation], found: Sequence[Detection], collar_s: float) -> list[Detection]:
    """The found events during which, collar included, nothing of their label sounds at all.

    Less strict than an insertion: a true event told twice, or too late, is a fault but no false alarm.
    """
    return [event for event in found if not any(is_same_sound(true, event, collar_s) for true in truth)]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _segment(time_s: float, segment_s: float, rounded: Callable[[float], int]) -> int:
    # To the millionth first: 0.3 / 0.1 is less than 3 in binary.
    return rounded(round(time_s / segment_s, 6))


def _activity(
    events: Iterable[Annotation | Detection], labels: Sequence[str], n_segments: int, segment_s: float
) -> BoolArray:
    """Whether each label is active in each segment, shape (n_segments, n_labels)."""
    is_active = np.zeros((n_segments, len(labels)), dtype=np.bool_)
    for event in events:
        first, end = _segment(event.onset_s, segment_s, math.floor), _segment(event.offset_s, segment_s, math.ceil)
        is_active[first:end, labels.index(event.label)] = True
    return is_active


def _fit_within_collars(truth: Annotation, found: Detection, criteria: Criteria) -> Fit | None:
    if not _is_within_collars(truth, found, criteria):
        return None
    closeness = 1.0 - abs(truth.onset_s - found.onset_s) / criteria.onset_collar_s
    return Fit(RIGHT if truth.label == found.label else SUBSTITUTED, closeness)


def _is_within_collars(truth: Annotation, found: Detection, criteria: Criteria) -> bool:
    if abs(truth.onset_s - found.onset_s) > criteria.onset_collar_s:
        return False
    if criteria.offset_collar_s is None:
        return True
    tolerance_s = max(criteria.offset_collar_s, OFFSET_SHARE * (truth.offset_s - truth.onset_s))
    return abs(truth.offset_s - found.offset_s) <= tolerance_s
