"""From scores to events: one automaton per label, independent of audio.

    idle -> candidate -> open <-> hangover -> idle (refractory)

A score at or above the onset threshold starts a candidate. The candidate is dropped at the first score below the
offset threshold, or becomes an event after the minimum duration. An event survives stretches below the offset threshold
that are no longer than the hangover. Time is counted in samples, so nothing depends on the length of a hop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.records import EndReason


class LabelRule(NamedTuple):
    """The rule by which events of one label start and end.

    Attributes:
        onset_threshold: scores at or above it start a candidate.
        offset_threshold: scores at or above it continue a candidate or event; at most `onset_threshold`.
        min_duration_samples: length at which a candidate becomes an event.
        hangover_samples: longest stretch below `offset_threshold` that an event survives.
        refractory_samples: minimum distance from an offset to the next onset.
        max_duration_samples: length at which an event is ended; a new candidate starts at its end, without
            refractory time. 0 means no limit.
    """

    onset_threshold: float
    offset_threshold: float
    min_duration_samples: int
    hangover_samples: int
    refractory_samples: int
    max_duration_samples: int


class OnsetCrossed(NamedTuple):
    """A candidate started with the hop that begins at `onset_sample`."""

    i_label: int
    onset_sample: int


class EventOpened(NamedTuple):
    """A candidate became an event; `score` is the score of this hop."""

    i_label: int
    onset_sample: int
    score: float


class EventContinued(NamedTuple):
    """An event continues, or is within its hangover; `max_score` is its maximum so far."""

    i_label: int
    score: float
    max_score: float


class ScoreDipped(NamedTuple):
    """The score of an event fell below the offset threshold; the last hop above it ended at `offset_sample`."""

    i_label: int
    offset_sample: int


class EventClosed(NamedTuple):
    """An event ended; `mean_score` is the mean over all hops from its onset to its offset."""

    i_label: int
    onset_sample: int
    offset_sample: int
    max_score: float
    mean_score: float
    reason: EndReason


EventChange = OnsetCrossed | EventOpened | EventContinued | ScoreDipped | EventClosed


class EventState(Enum):
    """State of an automaton."""

    IDLE = "idle"
    CANDIDATE = "candidate"
    OPEN = "open"
    HANGOVER = "hangover"


class Automaton:
    """Detects the events of one label.

    Args:
        i_label: index of the label, for the changes that are returned.
        rule: rule for the start and end of events.
        hop_samples: length of one hop.
    """

    def __init__(self, i_label: int, rule: LabelRule, hop_samples: int) -> None:
        self._i_label = i_label
        self._rule = rule
        self._hop_samples = hop_samples
        self.state = EventState.IDLE
        # None, not 0: a stream may start at any position.
        self._earliest_onset_sample: int | None = None
        self._begin(0)

    def update(self, score: float, end_sample: int) -> list[EventChange]:
        """Process one hop; return the changes.

        Args:
            score: score of the label, 0 if the label was rejected.
            end_sample: position just after the hop.
        """
        if self.state is EventState.IDLE:
            return self._wait(score, end_sample)
        # A rejected label is below every threshold, even below 0.
        if score > 0.0 and score >= self._rule.offset_threshold:
            return self._go_on(score, end_sample)
        return self._fade(score, end_sample)

    def close(self, reason: EndReason) -> list[EventChange]:
        """End an open event after its last hop above the offset threshold; drop a candidate."""
        is_event = self.state in (EventState.OPEN, EventState.HANGOVER)
        self.state = EventState.IDLE
        # A dropped candidate does not begin a refractory time.
        if not is_event:
            return []
        self._earliest_onset_sample = self._offset_sample + self._rule.refractory_samples
        return [
            EventClosed(
                self._i_label, self._onset_sample, self._offset_sample, self._max_score, self._mean_score, reason
            )
        ]

    def resume(self, end_sample: int) -> list[EventChange]:
        """Process a loss of audio up to `end_sample`: only an event whose hangover bridges the loss survives."""
        # A candidate does not survive any loss: its minimum duration must be continuous.
        # An idle automaton may pass this check; closing it changes nothing.
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
        # The first hop may already open the event, if it is as long as the minimum duration.
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
        # The mean ends with the offset: a hangover at the end of the event must not lower it.
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
            changes += self._restart(end_sample)
        return changes

    def _restart(self, end_sample: int) -> list[EventChange]:
        changes = self.close("max_duration")
        # A candidate again, not an event: if the sound ends with the cut, nothing more is reported.
        # The state is set here, not by `_wait`, which would apply the refractory time.
        self._begin(end_sample)
        self.state = EventState.CANDIDATE
        return [*changes, OnsetCrossed(self._i_label, end_sample)]

    def _fade(self, score: float, end_sample: int) -> list[EventChange]:
        # A candidate has no hangover: short flickers would add up to an event.
        if self.state is EventState.CANDIDATE:
            self.state = EventState.IDLE
            return []
        # Counts only if the event goes on: `close` takes the mean that was stored at the last hop above the threshold.
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
    """Detects the events of all labels, independently of each other.

    Args:
        rules: one rule per label.
        hop_samples: length of one hop.
    """

    def __init__(self, rules: Sequence[LabelRule], hop_samples: int) -> None:
        self._rules = tuple(rules)
        self._hop_samples = hop_samples
        # As an array, so that one comparison finds the labels that need their automaton.
        self._onset_thresholds = np.array([rule.onset_threshold for rule in rules])
        self.reset()

    def update(self, scores: Float64Array, end_sample: int) -> list[EventChange]:
        """Process one hop; return the changes, label by label.

        Args:
            scores: float64, shape (n_labels,), 0 for rejected labels.
            end_sample: position just after the hop.
        """
        changes: list[EventChange] = []
        # An idle label below its onset threshold stays idle, so at most hops no automaton runs. After a gap has closed
        # an event, its automaton still counts as active for one hop, which does no harm.
        for i_label in (self._is_active | (scores >= self._onset_thresholds)).nonzero()[0].tolist():
            automaton = self._automata[i_label]
            changes += automaton.update(float(scores[i_label]), end_sample)
            self._is_active[i_label] = automaton.state is not EventState.IDLE
        return changes

    @property
    def states(self) -> tuple[EventState, ...]:
        """The state of the automaton of each label."""
        return tuple(automaton.state for automaton in self._automata)

    def gap(self, end_sample: int) -> list[EventChange]:
        """Process a loss of audio up to `end_sample`: drop candidates, end events whose hangover is too short."""
        return [change for automaton in self._automata for change in automaton.resume(end_sample)]

    def close_all(self, reason: EndReason) -> list[EventChange]:
        """End all open events, drop all candidates."""
        return [change for automaton in self._automata for change in automaton.close(reason)]

    def close(self, i_labels: Iterable[int], reason: EndReason) -> list[EventChange]:
        """End the open events of some labels, drop their candidates."""
        return [change for i_label in i_labels for change in self._automata[i_label].close(reason)]

    def reset(self) -> None:
        """Return to the initial state; refractory times end."""
        # New automata: their state is small, and no part of it can be missed.
        self._automata = [Automaton(i, rule, self._hop_samples) for i, rule in enumerate(self._rules)]
        self._is_active = np.zeros(len(self._rules), dtype=np.bool_)
