"""Scores of found events against true ones, as pure functions on lists of events.

The definitions are those of Mesaros, Heittola and Virtanen, "Metrics for Polyphonic Sound Event
Detection", Applied Sciences 6(6), 2016. Every function counts in one recording; counts of several
recordings are added before shares are taken, so that a long recording weighs more than a short one.
Counts of one label are those of its events alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from scipy.optimize import linear_sum_assignment

from streamgmm.arrays import BoolArray, Float64Array
from streamgmm.evaluation.found_events import FoundEvent, TimedLabel, is_same_sound

OFFSET_SHARE = 0.5
"""An offset may also be wrong by this share of the true event's length (section 3.2.2 of the paper)."""


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


class Scores(msgspec.Struct, frozen=True, kw_only=True):
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


class Pair(NamedTuple):
    """A true event and the found event that was matched to it, perhaps of another label."""

    truth: TimedLabel
    found: FoundEvent

    @property
    def is_right(self) -> bool:
        """Whether the labels agree."""
        return self.truth.label == self.found.label

    @property
    def latency_s(self) -> float:
        """From the true onset to the moment when the event was told."""
        return self.found.reported_s - self.truth.onset_s

    @property
    def onset_error_s(self) -> float:
        """By how much the onset is dated too late; negative if it is too early."""
        return self.found.onset_s - self.truth.onset_s


def added(counts: Iterable[Counts]) -> Counts:
    """The counts of all recordings together."""
    return Counts(*(sum(numbers) for numbers in zip(*counts, strict=True)))


def scores_of(counts: Counts) -> Scores:
    """The shares that `counts` make."""
    n_true, n_found, n_right, *errors = counts
    substitution_rate, deletion_rate, insertion_rate = (_share(n_errors, n_true) for n_errors in errors)
    return Scores(
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
    truth: Sequence[TimedLabel], found: Sequence[TimedLabel], duration_s: float, segment_s: float
) -> Counts:
    """Compare which labels are active in each segment (section 3.1 of the paper).

    A label is active in a segment if any part of one of its events lies in it.

    Args:
        truth: the true events.
        found: the found events.
        duration_s: length of the recording (s); what lies beyond is not compared.
        segment_s: length of a segment (s).
    """
    labels = sorted({event.label for event in (*truth, *found)})
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


def event_counts(truth: Sequence[TimedLabel], found: Sequence[FoundEvent], pairs: Sequence[Pair]) -> Counts:
    """Compare events as a whole (section 3.2 of the paper), once `match_events` has paired them."""
    n_right = sum(pair.is_right for pair in pairs)
    return Counts(
        n_true=len(truth),
        n_found=len(found),
        n_right=n_right,
        n_substituted=len(pairs) - n_right,
        n_deleted=len(truth) - len(pairs),
        n_inserted=len(found) - len(pairs),
    )


def match_events(truth: Sequence[TimedLabel], found: Sequence[FoundEvent], criteria: Criteria) -> list[Pair]:
    """Pair true and found events one to one, where onset (and offset, if asked for) are within the collars.

    Of all ways to pair them, one with the most pairs of one label; among those, with the most pairs of
    different labels (substitutions); among those, with the closest onsets. It is an optimal assignment,
    so the order of events does not matter (Kuhn, 1955, as solved by scipy's `linear_sum_assignment`).

    Returns:
        The pairs, in order of the true onset.
    """
    pairs = []
    for some_truth, some_found in _clusters(truth, found, criteria.onset_collar_s):
        worths = _worths(some_truth, some_found, criteria)
        rows, columns = linear_sum_assignment(worths, maximize=True)
        pairs += [Pair(some_truth[i], some_found[j]) for i, j in zip(rows, columns, strict=True) if worths[i, j] > 0.0]
    return sorted(pairs, key=lambda pair: pair.truth.onset_s)


def false_alarms(truth: Sequence[TimedLabel], found: Sequence[FoundEvent], collar_s: float) -> list[FoundEvent]:
    """The found events during which, collar included, nothing of their label sounds at all.

    Less strict than an insertion: a true event told twice, or too late, is a fault but no false alarm.
    """
    return [event for event in found if not any(is_same_sound(true, event, collar_s) for true in truth)]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _segment(time_s: float, segment_s: float, rounded: Callable[[float], int]) -> int:
    # To the millionth first: 0.3 / 0.1 is less than 3 in binary.
    return rounded(round(time_s / segment_s, 6))


def _activity(events: Iterable[TimedLabel], labels: Sequence[str], n_segments: int, segment_s: float) -> BoolArray:
    """Whether each label is active in each segment, shape (n_segments, n_labels)."""
    is_active = np.zeros((n_segments, len(labels)), dtype=np.bool_)
    for event in events:
        first, end = _segment(event.onset_s, segment_s, math.floor), _segment(event.offset_s, segment_s, math.ceil)
        is_active[first:end, labels.index(event.label)] = True
    return is_active


def _clusters(
    truth: Sequence[TimedLabel], found: Sequence[FoundEvent], collar_s: float
) -> Iterator[tuple[list[TimedLabel], list[FoundEvent]]]:
    """Groups of events whose onsets are so far from those of all others that no pair crosses over."""
    onsets_s = np.array([event.onset_s for event in (*truth, *found)])
    order = np.argsort(onsets_s, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(onsets_s[order]) > collar_s) + 1):
        numbers = group.tolist()
        yield [truth[i] for i in numbers if i < len(truth)], [found[i - len(truth)] for i in numbers if i >= len(truth)]


def _worths(truth: Sequence[TimedLabel], found: Sequence[FoundEvent], criteria: Criteria) -> Float64Array:
    """What each pair is worth, shape (n_true, n_found); 0 for one that is none."""
    # A pair of one label outweighs all substitutions together, and each of those all closeness together.
    worth_of_a_substitution = 1.0 + min(len(truth), len(found))
    worths = np.zeros((len(truth), len(found)))
    for i, true_event in enumerate(truth):
        for j, found_event in enumerate(found):
            if _is_within_collars(true_event, found_event, criteria):
                is_right = true_event.label == found_event.label
                closeness = 1.0 - abs(true_event.onset_s - found_event.onset_s) / criteria.onset_collar_s
                worths[i, j] = worth_of_a_substitution ** (2 if is_right else 1) + closeness
    return worths


def _is_within_collars(true_event: TimedLabel, found_event: TimedLabel, criteria: Criteria) -> bool:
    if abs(true_event.onset_s - found_event.onset_s) > criteria.onset_collar_s:
        return False
    if criteria.offset_collar_s is None:
        return True
    tolerance_s = max(criteria.offset_collar_s, OFFSET_SHARE * (true_event.offset_s - true_event.onset_s))
    return abs(true_event.offset_s - found_event.offset_s) <= tolerance_s
