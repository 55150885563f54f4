"""Lines of label tracks and event lists, as programs and people write them.

Audacity separates fields by tabs, has decimal commas where the desktop does, lets labels have no name, and
begins a label a hair before 0 when it was dragged there; editors strip tabs at the end of lines. DCASE names
the columns in the first line. People type spaces, commas or semicolons. All that is read. A line whose times
cannot be told, or without a name, is left out and reported.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from streamgmm.dataset.filenames import is_recording_name
from streamgmm.dataset.listing import Problems, Stretch
from streamgmm.dataset.textfile import has_control_characters
from streamgmm.errors import DataError
from streamgmm.labels import check_label

EARLIEST_ONSET_S = -0.5
"""An onset before this (s) is no inaccuracy: the times are those of something else."""

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
_COLUMN = re.compile(r"(onset|offset|start|begin|end|stop|from|to|tmin|tmax)([ _(\[].*)?", re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\r|\n")
_COMMENTS = ("#", "%", "//", ";")


class Event(NamedTuple):
    """One line of a list of events.

    Attributes:
        line: its number in the file, from 1.
        filename: the recording, "" in a label track.
        stretch: what is labelled, with the label "" if it has no name; None on a line that only says that
            the recording has no event, and on one that cannot be read.
        is_readable: whether it is known what the line says.
    """

    line: int
    filename: str
    stretch: Stretch | None
    is_readable: bool = True

    @property
    def is_usable(self) -> bool:
        """Whether the line says what is heard, or that nothing is."""
        return self.is_readable and (self.stretch is None or self.stretch.label != "")


class Parsed(NamedTuple):
    """What a text says.

    Attributes:
        events: one for each line with content.
        problems: what is wrong, line by line.
        is_refused: whether one of them is a name that cannot be used: leaving it out could lose a class.
    """

    events: list[Event]
    problems: Problems
    is_refused: bool


class _NameError(DataError):
    """A label or the name of a recording cannot be used."""


def parse_events(text: str) -> Parsed:
    """Read the lines of `text`."""
    events: list[Event] = []
    problems = Problems()
    is_refused = False
    for line, content in enumerate(_LINE_END.split(text), 1):
        # Audacity follows the label of a frequency range by a line that begins with a backslash.
        if not content.strip() or content.lstrip().startswith("\\"):
            continue
        fields = _fields(content)
        try:
            events.append(_event(line, fields))
        except DataError as error:
            if not _is_remark(fields, content):
                is_refused |= isinstance(error, _NameError)
                problems.add(f"line {line}: {error.what}")
                events.append(Event(line, fields[0] if len(fields) == 4 else "", None, is_readable=False))
        else:
            stretch = events[-1].stretch
            if stretch and not stretch.label:
                problems.add(f"line {line}: the label has no name")
    return Parsed(events, problems, is_refused)


def _event(line: int, fields: list[str]) -> Event:
    if len(fields) not in (3, 4):
        raise DataError(f"{len(fields)} fields separated by tabs, but 3 or 4 are needed")
    *filenames, onset, offset, label = fields
    if any(not name or has_control_characters(name) for name in filenames):
        raise _NameError("the name of the recording is empty or holds control characters")
    # DCASE lists a recording without any event by its name alone.
    is_without_event = bool(filenames) and not (onset or offset or label)
    return Event(line, "".join(filenames), None if is_without_event else _stretch(onset, offset, label))


def _stretch(onset: str, offset: str, label: str) -> Stretch:
    onset_s, offset_s = _seconds("onset", onset), _seconds("offset", offset)
    if onset_s < EARLIEST_ONSET_S:
        raise DataError(f"the onset {onset} lies before the recording begins")
    if offset_s < onset_s:
        raise DataError(f"the offset {offset} lies before the onset {onset}")
    if offset_s < 0.0:
        raise DataError(f"the offset {offset} lies before the recording begins")
    try:
        checked = check_label(label) if label else ""
    except DataError as error:
        raise _NameError(error.what) from error
    return Stretch(checked, max(onset_s, 0.0), offset_s)


def _seconds(name: str, text: str) -> float:
    seconds = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(seconds):
        raise DataError(f"the {name} {text!r} is not a number of seconds")
    return seconds


def _fields(content: str) -> list[str]:
    """The fields of a line, with an empty label where none is written."""
    for separator in ("\t", ";", None, ","):
        fields = [field.strip().strip('"') for field in _split(content.strip(" \r"), separator)]
        if separator == "\t" and len(fields) > 1:
            return _completed(fields)
        # Any other sign may be part of a label, so it is one between fields only where times stand there.
        if _is_timed(fields, separator):
            return _completed(fields)
    alone = content.strip()
    return [alone, "", "", ""] if is_recording_name(alone) else [content]


def _split(content: str, separator: str | None) -> list[str]:
    """The fields of a line, of which the last may hold the separator."""
    fields = content.split(separator)
    if separator == "\t":
        return fields
    n_before = 3 if len(fields) > 2 and is_recording_name(fields[0].strip()) else 2
    return content.split(separator, n_before)


def _is_timed(fields: list[str], separator: str | None) -> bool:
    times = fields[1:3] if is_recording_name(fields[0]) else fields[:2]
    # A comma between fields leaves none for the decimals.
    return len(times) == 2 and all(_NUMBER.fullmatch(time) and not (separator == "," and "," in time) for time in times)


def _completed(fields: list[str]) -> list[str]:
    """`fields` with an empty label in place of what an editor stripped, and without what another one added."""
    is_track = len(fields) > 1 and all(_NUMBER.fullmatch(field) for field in fields[:2])
    while is_track and len(fields) > 3 and not fields[-1]:
        fields = fields[:-1]
    is_short = len(fields) == (2 if is_track else 3) and _NUMBER.fullmatch(fields[-1])
    if is_short and _NUMBER.fullmatch(fields[-2]):
        return [*fields, ""]
    return fields


def _is_remark(fields: list[str], content: str) -> bool:
    """Whether a line names the columns, or is a comment."""
    words = fields if len(fields) > 1 else re.split(r"[;,\s]+", content.strip())
    n_columns = sum(_COLUMN.fullmatch(word.strip('"')) is not None for word in words)
    return n_columns >= 2 or content.lstrip().startswith(_COMMENTS)
