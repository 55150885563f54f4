"""Settings of the schedule: times of the week at which labels are off."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streamgmm.settings.section import Section

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Days in the order of `datetime.weekday`."""

# One text rather than two: YAML 1.1 reads an unquoted 22:00 as the number 1320, and a key `off` as false.
_SPAN = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)", re.ASCII)


class OffSection(Section, frozen=True, kw_only=True):
    """A time at which labels are off."""

    time: Annotated[str, Meta(description="local time HH:MM-HH:MM, which may pass midnight")]
    days: Annotated[list[Day], Meta(description="days on which it begins; empty: every day")] = msgspec.field(
        default_factory=list
    )
    labels: Annotated[list[str], Meta(description="labels that are off; empty: all, which is a pause")] = msgspec.field(
        default_factory=list
    )

    def __post_init__(self) -> None:
        begin, end = self._minutes()
        if begin == end:
            raise ValueError("time begins and ends at the same time; a whole day is 00:00-24:00")

    def covers(self, local: datetime) -> bool:
        """Return whether a moment in local time lies within.

        The clock on the wall decides: a time that daylight saving skips is not off, one that it repeats is off twice.
        """
        begin, end = self._minutes()
        minute, day = 60 * local.hour + local.minute, local.weekday()
        if begin < end:
            return begin <= minute < end and self._begins_on(day)
        # Over midnight: the evening of a day, or the morning after it.
        return (minute >= begin and self._begins_on(day)) or (minute < end and self._begins_on((day - 1) % 7))

    def _begins_on(self, day: int) -> bool:
        return not self.days or DAYS[day] in self.days

    def _minutes(self) -> tuple[int, int]:
        match = _SPAN.fullmatch(self.time)
        if match is None:
            raise ValueError("time is a local time HH:MM-HH:MM such as 22:00-07:00")
        begin_hour, begin_minute, end_hour, end_minute = match.groups()
        end = 24 * 60 if end_hour is None else 60 * int(end_hour) + int(end_minute)
        return 60 * int(begin_hour) + int(begin_minute), end


def off_at(schedule: Sequence[OffSection], local: datetime) -> tuple[bool, frozenset[str]]:
    """Return whether all labels are off at a moment in local time, and the labels that are off by name."""
    due = [item for item in schedule if item.covers(local)]
    return any(not item.labels for item in due), frozenset(label for item in due for label in item.labels)
