"""Times in the names of recordings, as recorders write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

# 20260131_120000, 2026-01-31T12-00-00 and their like; neither may be a part of a longer number.
_TIME = re.compile(
    r"(?<!\d)(\d{4})([-_.]?)(\d{2})\2(\d{2})[T_\- ]?(\d{2})([-:_.]?)(\d{2})\6(\d{2})(?!\d)",
    re.ASCII,
)


def time_in_name(name: str) -> datetime | None:
    """Return the time (UTC) that a file name holds, such as `yard_20260131_120000.wav`; None if it holds none."""
    for match in _TIME.finditer(name):
        try:
            return datetime.strptime("".join(match.group(1, 3, 4, 5, 7, 8)), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            continue  # digits that are not a time
    return None
