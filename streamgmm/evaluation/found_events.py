"""What a detector says of a recording: events, each with the moment at which it was told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from streamgmm.records import End, Record, Start


class FoundEvent(NamedTuple):
    """What the detector says: a label from `onset_s` to `offset_s`, told at `reported_s` (all stream seconds)."""

    label: str
    onset_s: float
    offset_s: float
    reported_s: float


class TimedLabel(Protocol):
    """A true or a found event: a label from `onset_s` to `offset_s` (stream seconds)."""

    @property
    def label(self) -> str:
        """What sounds."""

    @property
    def onset_s(self) -> float:
        """Since when."""

    @property
    def offset_s(self) -> float:
        """Until when."""


def events_of(records: Iterable[Record]) -> list[FoundEvent]:
    """The events of a stream of records: each end, with the time at which its start was told.

    An event whose end never came is left out: a stream that was flushed has none.
    """
    reported_s: dict[str, float] = {}
    found = []
    for record in records:
        if isinstance(record, Start):
            reported_s[record.id] = record.t
        elif isinstance(record, End) and record.id in reported_s:
            found.append(FoundEvent(record.label, record.start_t, record.end_t, reported_s.pop(record.id)))
    return found


def is_same_sound(true_event: TimedLabel, found_event: TimedLabel, collar_s: float) -> bool:
    """Whether both have one label and overlap once the true event is widened by the collar at both ends."""
    return (
        true_event.label == found_event.label
        and found_event.onset_s < true_event.offset_s + collar_s
        and found_event.offset_s > true_event.onset_s - collar_s
    )
