"""From scores to events: one automaton per label that knows no audio.

    idle -> candidate -> open <-> hangover -> idle (refractory)

A label above its onset threshold is a candidate, which dies at the first score below the offset
threshold; once it has lasted the minimum duration it is an event. An event bridges stretches below the
offset threshold up to the hangover. Time is a sample position, so nothing here depends on the hop.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.records import EndReason


class LabelRule(NamedTuple):
    """When an event of one label starts and ends.

    Attributes:
        onset_threshold: a score at or above it begins a candidate.
        offset_threshold: a score at or above it continues; not above `onset_threshold`.
        min_duration_samples: a candidate this long is an event.
        hangover_samples: longest stretch below `offset_threshold` that an event survives.
        refractory_samples: least distance from an offset to the next onset.
        max_duration_samples: an event this long is ended, and a candidate begins where it ended, without
            refractory time; 0 is never.
    """

    onset_threshold: float
    offset_threshold: float
    min_duration_samples: int
    hangover_samples: int
    refractory_samples: int
    max_duration_samples: int


class OnsetCrossed(NamedTuple):
    """A candidate began with the hop at `onset_sample`."""

    i_label: int
    onset_sample: int


class EventOpened(NamedTuple):
    """The candidate has lasted long enough: an event; `score` is that of this hop."""

    i_label: int
    onset_sample: int
    score: float


class EventContinued(NamedTuple):
    """The event goes on, or is still within its hangover; `max_score` is that up to here."""

    i_label: int
    score: float
    max_score: float


class ScoreDipped(NamedTuple):
    """The score fell below the offset threshold; `offset_sample` is where it was last above."""

    i_label: int
    offset_sample: int


class EventClosed(NamedTuple):
    """The event is over; `mean_score` is over all hops from its onset to its offset."""

    i_label: int
    onset_sample: int
    offset_sample: int
    max_score: float
    mean_score: float
    reason: EndReason


EventChange = OnsetCrossed | EventOpened | EventContinued | ScoreDipped | EventClosed


class EventState(Enum):
    """Where an automaton is."""

    IDLE = "idle"
    CANDIDATE = "candidate"
    OPEN = "open"
    HANGOVER = "hangover"


class Automaton:
    """The events of one label.

    Args:
        i_label: which label, for the changes that it emits.
        rule: when its events start and end.
        hop_samples: length of one hop.
    """

    def __init__(self, i_label: int, rule: LabelRule, hop_samples: int) -> None:
        self._i_label = i_label
        self._rule = rule
        self._hop_samples = hop_samples
        self.state = EventState.IDLE
        # None, not 0: a stream may begin at any position.
        self._earliest_onset_sample: int | None = None
        self._begin(0)

    def update(self, score: float, end_sample: int) -> list[EventChange]:
        """What one more hop changes.

        Args:
            score: of the label, 0 where it was rejected.
            end_sample: position just after the hop.
        """
        if self.state is EventState.IDLE:
            return self._wait(score, end_sample)
        # A rejection is below every threshold, also below one of 0.
        if score > 0.0 and score >= self._rule.offset_threshold:
            return self._go_on(score, end_sample)
        return self._fade(score, end_sample)

    def close(self, reason: EndReason) -> list[EventChange]:
        """End an open event where its score was last above; drop a candidate."""
        is_event = self.state in (EventState.OPEN, EventState.HANGOVER)
        self.state = EventState.IDLE
        if not is_event:
            return []
        self._earliest_onset_sample = self._offset_sample + self._rule.refractory_samples
        return [
            EventClosed(
                self._i_label, self._onset_sample, self._offset_sample, self._max_score, self._mean_score, reason
            )
        ]

    def resume(self, end_sample: int) -> list[EventChange]:
        """Audio is missing up to `end_sample`: only an event whose hangover bridges it survives."""
        if self.state is not EventState.CANDIDATE and not self._is_over(end_sample):
            return []
        return self.close("gap")

    def _wait(self, score: float, end_sample: int) -> list[EventChange]:
        onset_sample = end_sample - self._hop_samples
        is_refractory = self._earliest_onset_sample is not None and onset_sample < self._earliest_onset_sample
        if is_refractory or score < self._rule.onset_threshold:
            return []
        self._begin(onset_sample)
        self.state = EventState.CANDIDATE
        return [OnsetCrossed(self._i_label, onset_sample), *self._go_on(score, end_sample)]

    def _begin(self, onset_sample: int) -> None:
        self._onset_sample = self._offset_sample = onset_sample
        self._n_hops = 0
        self._sum_score = self._max_score = self._mean_score = 0.0

    def _add(self, score: float) -> None:
        self._n_hops += 1
        self._sum_score += score
        self._max_score = max(self._max_score, score)

    def _go_on(self, score: float, end_sample: int) -> list[EventChange]:
        self._add(score)
        # The mean is taken up to the offset: a hangover that bridged nothing must not lower it.
        self._offset_sample, self._mean_score = end_sample, self._sum_score / self._n_hops
        duration_samples = end_sample - self._onset_sample
        changes: list[EventChange]
        if self.state is not EventState.CANDIDATE:
            changes = [EventContinued(self._i_label, score, self._max_score)]
        elif duration_samples >= self._rule.min_duration_samples:
            changes = [EventOpened(self._i_label, self._onset_sample, score)]
        else:
            return []
        self.state = EventState.OPEN
        if 0 < self._rule.max_duration_samples <= duration_samples:
            changes += self._begin_anew(end_sample)
        return changes

    def _begin_anew(self, end_sample: int) -> list[EventChange]:
        changes = self.close("max_duration")
        # A candidate again, not an event: if the sound ends with the cut, nothing more is reported.
        self._begin(end_sample)
        self.state = EventState.CANDIDATE
        return [*changes, OnsetCrossed(self._i_label, end_sample)]

    def _fade(self, score: float, end_sample: int) -> list[EventChange]:
        # What has not proved itself has no hangover: a flicker would add up to an event.
        if self.state is EventState.CANDIDATE:
            self.state = EventState.IDLE
            return []
        self._add(score)
        changes: list[EventChange] = []
        if self.state is EventState.OPEN:
            self.state = EventState.HANGOVER
            changes.append(ScoreDipped(self._i_label, self._offset_sample))
        if self._is_over(end_sample):
            return changes + self.close("offset")
        return [*changes, EventContinued(self._i_label, score, self._max_score)]

    def _is_over(self, end_sample: int) -> bool:
        return end_sample - self._offset_sample > self._rule.hangover_samples


class Segmenter:
    """The events of all labels, each by itself.

    Args:
        rules: one per label.
        hop_samples: length of one hop.
    """

    def __init__(self, rules: Sequence[LabelRule], hop_samples: int) -> None:
        self._rules = tuple(rules)
        self._hop_samples = hop_samples
        self._onset_thresholds = np.array([rule.onset_threshold for rule in rules])
        self.reset()

    def update(self, scores: Float64Array, end_sample: int) -> list[EventChange]:
        """What one more hop changes, label by label.

        Args:
            scores: float64, shape (n_labels,), 0 where a label was rejected.
            end_sample: position just after the hop.
        """
        changes: list[EventChange] = []
        # An idle label below its onset threshold stays idle: at most hops nobody is asked. To ask in
        # vain, because a gap has closed the event, does no harm.
        for i_label in np.flatnonzero(self._is_active | (scores >= self._onset_thresholds)).tolist():
            automaton = self._automata[i_label]
            changes += automaton.update(float(scores[i_label]), end_sample)
            self._is_active[i_label] = automaton.state is not EventState.IDLE
        return changes

    @property
    def states(self) -> tuple[EventState, ...]:
        """Where the automaton of each label is."""
        return tuple(automaton.state for automaton in self._automata)

    def gap(self, end_sample: int) -> list[EventChange]:
        """Audio is missing up to `end_sample`: end what no hangover bridges, drop candidates."""
        return [change for automaton in self._automata for change in automaton.resume(end_sample)]

    def close_all(self, reason: EndReason) -> list[EventChange]:
        """End every open event, drop every candidate."""
        return [change for automaton in self._automata for change in automaton.close(reason)]

    def reset(self) -> None:
        """Forget everything, refractory times too."""
        self._automata = [Automaton(i, rule, self._hop_samples) for i, rule in enumerate(self._rules)]
        self._is_active = np.zeros(len(self._rules), dtype=np.bool_)
