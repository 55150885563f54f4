"""The matcher of events: which annotation was found by which detection, what was missed, and what is false."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from streamgmm.arrays import Float64Array
from streamgmm.listening.events import Annotation, Detection, is_same_sound


class Rating(NamedTuple):
    """The fit of a detection to an annotation.

    Attributes:
        rank: a pair of a higher rank outweighs any number of pairs of lower ranks; at least 1.
        closeness: decides between matchings with as many pairs of each rank, 0 to 1.
    """

    rank: int
    closeness: float


Rule = Callable[[Annotation, Detection], Rating | None]
"""Returns how well a pair fits; None if it cannot be one."""


class Pair(NamedTuple):
    """An annotation and the detection that was matched to it."""

    truth: Annotation
    found: Detection

    @property
    def is_right(self) -> bool:
        """True if the labels agree."""
        return self.truth.label == self.found.label

    @property
    def latency_s(self) -> float:
        """Time from the true onset to the report of the event (s)."""
        return self.found.reported_s - self.truth.onset_s

    @property
    def onset_error_s(self) -> float:
        """Detected onset minus true onset (s)."""
        return self.found.onset_s - self.truth.onset_s


class MatchSummary(NamedTuple):
    """Counts of one label, or of all; the latency is the median over the found events, None if there are none."""

    label: str
    n_true: int
    n_found: int
    n_missed: int
    n_false: int
    latency_s: float | None


@dataclass(frozen=True)
class Matches:
    """A matching of annotations and detections, each of which appears exactly once, in order of onset.

    Attributes:
        pairs: annotations that were found, each with its detection.
        missed: annotations without a detection.
        false: detections without an annotation, and further detections of an annotation.
    """

    pairs: list[Pair]
    missed: list[Annotation]
    false: list[Detection]

    @property
    def labels(self) -> list[str]:
        """Labels of all annotations and detections, sorted."""
        return sorted({event.label for event in self.truth} | {event.label for event in self.false})

    @property
    def truth(self) -> list[Annotation]:
        """All annotations, in order of onset."""
        return sorted((*(pair.truth for pair in self.pairs), *self.missed), key=_onset_s)

    def of_label(self, label: str) -> MatchSummary:
        """Return the counts of one label, where pairs are of one label."""
        return _summarise_matches(
            label,
            [pair for pair in self.pairs if pair.truth.label == label],
            n_missed=sum(event.label == label for event in self.missed),
            n_false=sum(event.label == label for event in self.false),
        )

    def in_total(self) -> MatchSummary:
        """Return the counts of all labels together, labelled `all`."""
        return _summarise_matches("all", self.pairs, n_missed=len(self.missed), n_false=len(self.false))


def match_events(
    truth: Sequence[Annotation], found: Sequence[Detection], rule: Rule, reach_s: float = math.inf
) -> Matches:
    """Match annotations and detections one to one.

    Of all matchings, the result has the most pairs of the highest rank; among those, the most of the next rank; among
    those, the largest sum of closeness. It is an optimal assignment, so the order of events does not matter (Kuhn,
    1955, as solved by scipy's `linear_sum_assignment`).

    Args:
        truth: annotations of one recording.
        found: detections in it.
        rule: rates each pair.
        reach_s: a pair whose onsets are further apart is impossible (s); it keeps long recordings fast.
    """
    found_by: dict[int, int] = {}
    for rows, columns in _clusters(truth, found, reach_s):
        weights = _weights([truth[i] for i in rows], [found[j] for j in columns], rule)
        for i, j in zip(*linear_sum_assignment(weights, maximize=True), strict=True):
            # The assignment pairs as many as it can, and so also pairs that are impossible.
            if weights[i, j] > 0.0:
                found_by[rows[i]] = columns[j]
    taken = set(found_by.values())
    return Matches(
        pairs=sorted((Pair(truth[i], found[j]) for i, j in found_by.items()), key=lambda pair: pair.truth.onset_s),
        missed=sorted((event for i, event in enumerate(truth) if i not in found_by), key=_onset_s),
        false=sorted((event for j, event in enumerate(found) if j not in taken), key=_onset_s),
    )


def overlapping(collar_s: float) -> Rule:
    """Return the rule that pairs what overlaps within a collar and has one label; closeness is intersection over union.

    Args:
        collar_s: the annotation is widened by it at both ends (s).
    """

    def rule(truth: Annotation, found: Detection) -> Rating | None:
        if not is_same_sound(truth, found, collar_s):
            return None
        return Rating(1, _intersection_over_union(truth, found))

    return rule


def _onset_s(event: Annotation | Detection) -> float:
    return event.onset_s


def _summarise_matches(label: str, pairs: Sequence[Pair], *, n_missed: int, n_false: int) -> MatchSummary:
    latency_s = median(pair.latency_s for pair in pairs) if pairs else None
    return MatchSummary(label, len(pairs) + n_missed, len(pairs), n_missed, n_false, latency_s)


def _clusters(
    truth: Sequence[Annotation], found: Sequence[Detection], reach_s: float
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the indices of groups of events whose onsets are so far from all others that no pair crosses over."""
    # Assignment takes cubic time, so events are divided where no pair can cross. Numbers below `len(truth)` are those
    # of annotations, the others of detections.
    onsets_s = np.array([*map(_onset_s, truth), *map(_onset_s, found)])
    order = np.argsort(onsets_s, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(onsets_s[order]) > reach_s) + 1):
        numbers = group.tolist()
        yield [i for i in numbers if i < len(truth)], [i - len(truth) for i in numbers if i >= len(truth)]


def _weights(truth: Sequence[Annotation], found: Sequence[Detection], rule: Rule) -> Float64Array:
    """Return the weight of each pair, shape (n_true, n_found); 0 for an impossible one."""
    # More than all closeness together can add up to, so that one pair of a rank always outweighs the ranks below.
    base = 1.0 + min(len(truth), len(found))
    weights = np.zeros((len(truth), len(found)))
    for i, annotation in enumerate(truth):
        for j, detection in enumerate(found):
            rating = rule(annotation, detection)
            if rating is not None:
                weights[i, j] = base**rating.rank + rating.closeness
    return weights


def _intersection_over_union(truth: Annotation, found: Detection) -> float:
    shared_s = min(truth.offset_s, found.offset_s) - max(truth.onset_s, found.onset_s)
    spanned_s = max(truth.offset_s, found.offset_s) - min(truth.onset_s, found.onset_s)
    return max(0.0, shared_s) / spanned_s if spanned_s > 0.0 else 0.0
