"""Filter the records of one sink by label, type, source and score, before they enter its queue."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from streamgmm.labels import RESERVED
from streamgmm.records import Bye, Dropped, End, Glimpse, Hello, Record, Start, Status, Update, Window
from streamgmm.settings.output import OutputSection, RecordType, SinkSection, sections_of_sinks
from streamgmm.sinks.formats import Formatter
from streamgmm.sinks.sink import Snapshot
from streamgmm.wording import did_you_mean

logger = logging.getLogger("streamgmm.sinks")


class Selection:
    """Filter for the records of one sink. An empty filter admits everything.

    `hello`, `bye` and `dropped` pass every filter except that by type. Not thread-safe.

    Args:
        labels: admitted labels of `start`, `update`, `end` and `window`.
        types: admitted types of records.
        sources: names of admitted sources.
        min_score: lowest admitted `score` of `start` and `update`. An `end` is admitted if its `start` was; if `types`
            excludes `start`, this is the lowest admitted `max_score` of `end` instead.
        shows_every_hop: whether glimpses are admitted, as windows are.
    """

    def __init__(
        self,
        *,
        labels: Iterable[str] = (),
        types: Iterable[RecordType] = (),
        sources: Iterable[str] = (),
        min_score: float = 0.0,
        shows_every_hop: bool = False,
    ) -> None:
        self._labels = frozenset(labels)
        self._types = frozenset(types)
        self._sources = frozenset(sources)
        self._min_score = min_score
        self._shows_every_hop = shows_every_hop
        # Without a filter of labels and scores, no event has to be followed from its start to its end.
        self._takes_every_event = not self._labels and min_score <= 0.0
        self._wants_starts = not self._types or "start" in self._types
        # Source and id of each event whose start was admitted and whose end has not come yet.
        self._open_events: set[tuple[str, str]] = set()

    def admits(self, record: Record) -> bool:
        """Return whether the sink receives `record`; call once for each record, in the order of publication."""
        if isinstance(record, Glimpse) and not self._shows_every_hop:
            return False
        if isinstance(record, Hello):
            # A new run of this source ends no event of an earlier one.
            self._open_events = {event for event in self._open_events if event[0] != record.source}
        # Events first: an `end` closes its event even where no `end` is wanted.
        is_selected = isinstance(record, Hello | Bye | Dropped) or (
            self._admits_source(record) and (self._takes_every_event or self._admits_event(record))
        )
        return is_selected and self.admits_type(record)

    def admits_type(self, record: Record) -> bool:
        """Return whether records of the type of `record` are admitted."""
        return not self._types or type(record).__struct_config__.tag in self._types

    def current_statuses(self, snapshot: Snapshot | None) -> list[Status]:
        """Return the statuses of a greeting, of all sources: a client waits for one status for each `hello`."""
        return [status for status in (snapshot() if snapshot else ()) if self.admits_type(status)]

    @property
    def admits_greeting(self) -> bool:
        """Return whether both `hello` and `status` are admitted, so that a client can request the status."""
        return not self._types or {"hello", "status"} <= self._types

    def announced_with(self, format_record: Formatter) -> Formatter:
        """Return a formatter for the `dropped` records of a queue, which hides them if their type is not admitted."""
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
                # `not <` instead of `>=`: NaN passes.
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


def selection_of(
    section: SinkSection, default_types: Sequence[RecordType] = (), *, shows_every_hop: bool = False
) -> Selection:
    """Return the selection of a sink with these settings; `default_types` apply if the settings name no types."""
    return Selection(
        labels=section.labels,
        types=section.records or default_types,
        sources=section.sources,
        min_score=section.min_score,
        shows_every_hop=shows_every_hop,
    )


def warn_of_unknown_names(output: OutputSection, labels: Iterable[str], sources: Iterable[str]) -> None:
    """Log a warning for each label and source that a sink is restricted to, and that does not exist.

    Args:
        output: the sinks.
        labels: those of all models.
        sources: names of all sources.
    """
    known_labels, known_sources = {*labels, *RESERVED}, set(sources)
    for own in sections_of_sinks(output):
        for label in sorted(set(own.labels) - known_labels):
            advice = did_you_mean(label, known_labels) or "it selects nothing"
            logger.warning("output.sinks: %s: no model has the label %r, %s", own.shown_uri, label, advice)
        for source in sorted(set(own.sources) - known_sources):
            advice = did_you_mean(source, known_sources) or "it selects nothing"
            logger.warning("output.sinks: %s: no source has the name %r, %s", own.shown_uri, source, advice)
