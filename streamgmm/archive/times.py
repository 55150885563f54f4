"""Times at which recordings began, and as recorders write them into names."""

from __future__ import annotations

import re
from datetime import UTC, datetime

# 20260131_120000, 2026-01-31T12-00-00 and their like; neither may be a part of a longer number.
_TIME = re.compile(
    r"(?<!\d)(\d{4})([-_.]?)(\d{2})\2(\d{2})[T_\- ]?(\d{2})([-:_.]?)(\d{2})\6(\d{2})(?!\d)",
    re.ASCII,
)


_EARLIEST, _END = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def is_plausible(time: datetime) -> bool:
    """Return whether a recording may have begun at `time`, which has a time zone: from 1900 to 2199.

    Near the ends of the calendar, neither an event of it nor its time in UTC could be written.
    """
    return _EARLIEST <= time < _END


def time_in_name(name: str) -> datetime | None:
    """Return the time (UTC) that a file name holds, such as `yard_20260131_120000.wav`; None if it holds none."""
    for match in _TIME.finditer(name):
        try:
            time = datetime.strptime("".join(match.group(1, 3, 4, 5, 7, 8)), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            continue  # digits that are not a time
        if is_plausible(time):
            return time
    return None
