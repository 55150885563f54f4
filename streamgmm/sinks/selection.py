"""Which records go to one sink: filters by label, type, source and score, applied before its queue."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from streamgmm.config import OutputSection, RecordType, SinkSection, sections_of_sinks
from streamgmm.labels import RESERVED
from streamgmm.records import Bye, Dropped, End, Hello, Record, Start, Status, Update, Window
from streamgmm.sinks.formats import Formatter
from streamgmm.sinks.sink import Snapshot
from streamgmm.wording import did_you_mean

logger = logging.getLogger("streamgmm.sinks")


class Selection:
    """The records that one sink gets; without arguments all. A filter that is empty admits everything.

    `hello`, `bye` and `dropped` pass every filter but that of the types. Not thread-safe.

    Args:
        labels: of `start`, `update`, `end` and `window`.
        types: types of records.
        sources: names of sources.
        min_score: least `score` of `start` and `update`. An `end` follows its `start`; where no `start` is wanted,
            it is the least `max_score` of an `end`.
    """

    def __init__(
        self,
        *,
        labels: Iterable[str] = (),
        types: Iterable[RecordType] = (),
        sources: Iterable[str] = (),
        min_score: float = 0.0,
    ) -> None:
        self._labels = frozenset(labels)
        self._types = frozenset(types)
        self._sources = frozenset(sources)
        self._min_score = min_score
        self._takes_every_event = not self._labels and min_score <= 0.0
        self._wants_starts = not self._types or "start" in self._types
        # Source and id of each event whose start was admitted and whose end is still to come.
        self._open_events: set[tuple[str, str]] = set()

    def admits(self, record: Record) -> bool:
        """Return whether the sink gets `record`; to be asked once for each record, in the order of publication."""
        if isinstance(record, Hello):
            # A new run of this source ends no event of an earlier one.
            self._open_events = {event for event in self._open_events if event[0] != record.source}
        # Events first: an `end` closes its event even where no `end` is wanted.
        is_selected = isinstance(record, Hello | Bye | Dropped) or (
            self._admits_source(record) and (self._takes_every_event or self._admits_event(record))
        )
        return is_selected and self.admits_type(record)

    def admits_type(self, record: Record) -> bool:
        """Return whether records of this type are wanted at all."""
        return not self._types or type(record).__struct_config__.tag in self._types

    def current_statuses(self, snapshot: Snapshot | None) -> list[Status]:
        """Return the statuses of a greeting: those of all sources, as whoever asks waits for one of each hello."""
        return [status for status in (snapshot() if snapshot else ()) if self.admits_type(status)]

    @property
    def admits_greeting(self) -> bool:
        """Return whether a subscriber can learn the status: from a `hello` and a `status`."""
        return not self._types or {"hello", "status"} <= self._types

    def announced_with(self, format_record: Formatter) -> Formatter:
        """Return `format_record` for the `dropped` records of a queue, or one that shows none if they are unwanted."""
        return lambda record: format_record(record) if self.admits_type(record) else None

    def _admits_source(self, record: Record) -> bool:
        return not self._sources or record.source in self._sources

    def _admits_event(self, record: Record) -> bool:
        match record:
            case Start(id=event_id):
                is_admitted = self._admits_label(record.label) and not record.score < self._min_score
                if is_admitted and self._wants_starts:
                    self._open_events.add((record.source, event_id))
                return is_admitted
            case Update(id=event_id):
                is_followed = not self._wants_starts or (record.source, event_id) in self._open_events
                # Written so that a score that is not a number passes where no least score is set.
                return is_followed and self._admits_label(record.label) and not record.score < self._min_score
            case End(id=event_id) if self._wants_starts:
                is_followed = (record.source, event_id) in self._open_events
                self._open_events.discard((record.source, event_id))
                return is_followed
            case End():
                return self._admits_label(record.label) and not record.max_score < self._min_score
            case Window():
                return self._admits_label(record.label)
        return True

    def _admits_label(self, label: str) -> bool:
        return not self._labels or label in self._labels


def selection_of(section: SinkSection, default_types: Sequence[RecordType] = ()) -> Selection:
    """Return the selection that the settings of a sink describe; `default_types` where they name no types."""
    return Selection(
        labels=section.labels,
        types=section.records or default_types,
        sources=section.sources,
        min_score=section.min_score,
    )


def wanted_labels(output: OutputSection) -> dict[str, list[str]]:
    """Return the labels that each sink is restricted to, by its URI; without the sinks that want all labels."""
    return {section.uri: section.labels for section in sections_of_sinks(output) if section.labels}


def warn_of_unknown_labels(output: OutputSection, labels: Iterable[str]) -> None:
    """Log a warning for each label that a sink is restricted to and that is none of `labels` (those of the model)."""
    known = {*labels, *RESERVED}
    for uri, wanted in wanted_labels(output).items():
        for label in sorted(set(wanted) - known):
            advice = did_you_mean(label, known) or "it selects nothing"
            logger.warning("output.sinks: %s: no model has the label %r, %s", uri, label, advice)
