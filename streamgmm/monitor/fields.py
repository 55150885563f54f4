"""Fields of a record that came from another process, which may be of another version or another program."""

from __future__ import annotations

import math
from datetime import datetime

from streamgmm.client.conversation import Record
from streamgmm.wording import escaped, shorten

MAX_CHARACTERS = 200


class Fields:
    """Read the fields of a record; one that is missing or of another type reads as empty.

    Args:
        record: the record.
    """

    def __init__(self, record: Record) -> None:
        self._record = record

    def text(self, key: str) -> str:
        """Return a text that is safe to print: without control characters, and not endless."""
        return printable(self._record.get(key))

    def texts(self, key: str) -> list[str]:
        """Return a list of such texts."""
        values = self._record.get(key)
        return [printable(value) for value in values] if isinstance(values, list) else []

    def number(self, key: str) -> float | None:
        """Return a finite number; None for anything else, e.g. null in place of one that is not finite."""
        return finite(self._record.get(key))

    def numbers(self, key: str) -> dict[str, float]:
        """Return the finite numbers of a mapping."""
        values = self._record.get(key)
        pairs = values.items() if isinstance(values, dict) else ()
        return {printable(name): number for name, value in pairs if (number := finite(value)) is not None}

    def levels(self, key: str) -> list[float]:
        """Return the numbers of a list, those that are not finite as the lowest level; at most `MAX_CHARACTERS`."""
        values = self._record.get(key)
        known = values[:MAX_CHARACTERS] if isinstance(values, list) else []
        return [-math.inf if (number := finite(value)) is None else number for value in known]

    def within(self, key: str) -> Fields:
        """Return the fields of an object within the record."""
        value = self._record.get(key)
        return Fields(value if isinstance(value, dict) else {})

    def moment(self, key: str) -> str:
        """Return the time of day of `KEY_time` here, or `KEY_t` in seconds for a recording without a date."""
        try:
            time = datetime.fromisoformat(self.text(f"{key}_time" if key else "time"))
            return time.astimezone().strftime("%H:%M:%S")
        # OverflowError: a year that is beyond those of this machine.
        except (ValueError, OverflowError):
            seconds = self.number(f"{key}_t" if key else "t")
            return "" if seconds is None else f"{seconds:.1f} s"


def printable(value: object) -> str:
    """Return a text without control characters, cut to `MAX_CHARACTERS`; empty if `value` is not text."""
    return escaped(shorten(value, MAX_CHARACTERS)) if isinstance(value, str) else ""


def finite(value: object) -> float | None:
    """Return a finite number as a float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
