"""Which of the true events were found, which were missed, and what was heard that was not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from streamgmm.demo.scene import SceneEvent
from streamgmm.evaluation.found_events import FoundEvent, is_same_sound


class Pair(NamedTuple):
    """A true event and the event that found it."""

    truth: SceneEvent
    found: FoundEvent

    @property
    def latency_s(self) -> float:
        """From the true onset to the moment when the event was told."""
        return self.found.reported_s - self.truth.onset_s


class LabelResult(NamedTuple):
    """How one label fared; the latency is the median over the found events, None if there are none."""

    label: str
    n_true: int
    n_found: int
    n_missed: int
    n_false: int
    latency_s: float | None


@dataclass(frozen=True)
class Matches:
    """True and found events, told apart; each appears exactly once, in order of onset.

    Attributes:
        pairs: true events that were found, each with its finder.
        missed: true events that nothing found.
        false: found events without a true one, and second findings of the same one.
    """

    pairs: list[Pair]
    missed: list[SceneEvent]
    false: list[FoundEvent]

    @property
    def labels(self) -> list[str]:
        """Every label that is true or was found, sorted."""
        return sorted({event.label for event in self.truth} | {event.label for event in self.false})

    @property
    def truth(self) -> list[SceneEvent]:
        """All true events."""
        return sorted((*(pair.truth for pair in self.pairs), *self.missed), key=lambda event: event.onset_s)

    @property
    def latencies_s(self) -> list[float]:
        """Latency of every found event, in order of onset."""
        return [pair.latency_s for pair in self.pairs]

    def for_label(self, label: str) -> LabelResult:
        """The result of one label."""
        latencies_s = [pair.latency_s for pair in self.pairs if pair.truth.label == label]
        n_missed = sum(event.label == label for event in self.missed)
        n_false = sum(event.label == label for event in self.false)
        latency_s = median(latencies_s) if latencies_s else None
        return LabelResult(label, len(latencies_s) + n_missed, len(latencies_s), n_missed, n_false, latency_s)

    def in_total(self) -> LabelResult:
        """The result of all labels together, labelled `all`."""
        n_pairs, n_missed = len(self.pairs), len(self.missed)
        latency_s = median(self.latencies_s) if self.pairs else None
        return LabelResult("all", n_pairs + n_missed, n_pairs, n_missed, len(self.false), latency_s)


def match_events(truth: Sequence[SceneEvent], found: Sequence[FoundEvent], collar_s: float) -> Matches:
    """Match true and found events one to one: same label, and overlapping once the truth is widened by the collar.

    Of all such matchings, one with the most pairs; among those, the one whose pairs overlap best (largest
    sum of intersection over union). An optimal assignment, so the order of events does not matter
    (Kuhn, 1955, as solved by scipy's `linear_sum_assignment`).
    """
    # More than all overlaps together can add up to, so that one pair more always outweighs them.
    worth_of_a_pair = 1.0 + min(len(truth), len(found))
    worths = np.zeros((len(truth), len(found)))
    for i, true_event in enumerate(truth):
        for j, found_event in enumerate(found):
            if is_same_sound(true_event, found_event, collar_s):
                worths[i, j] = worth_of_a_pair + _intersection_over_union(true_event, found_event)
    rows, columns = linear_sum_assignment(worths, maximize=True)
    finders = {int(i): int(j) for i, j in zip(rows, columns, strict=True) if worths[i, j] > 0.0}
    taken = set(finders.values())
    return Matches(
        pairs=sorted((Pair(truth[i], found[j]) for i, j in finders.items()), key=lambda pair: pair.truth.onset_s),
        missed=sorted((e for i, e in enumerate(truth) if i not in finders), key=lambda event: event.onset_s),
        false=sorted((e for j, e in enumerate(found) if j not in taken), key=lambda event: event.onset_s),
    )


def _intersection_over_union(true_event: SceneEvent, found_event: FoundEvent) -> float:
    shared_s = min(true_event.offset_s, found_event.offset_s) - max(true_event.onset_s, found_event.onset_s)
    spanned_s = max(true_event.offset_s, found_event.offset_s) - min(true_event.onset_s, found_event.onset_s)
    return max(0.0, shared_s) / spanned_s if spanned_s > 0.0 else 0.0
