"""Parse lines of label tracks and event lists, as programs and people write them.

Audacity separates fields by tabs, uses decimal commas in some locales, allows labels without a name, and writes a
little less than 0 for a label that was dragged to the start; editors strip tabs at the end of lines. DCASE names the
columns in the first line. People type spaces, commas or semicolons. All of these are accepted. A line with unreadable
times, or without a name, is left out and reported.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from streamgmm.dataset.filenames import is_recording_name
from streamgmm.dataset.listing import DatasetProblems, Segment
from streamgmm.dataset.textfile import has_control_characters
from streamgmm.errors import DataError
from streamgmm.labels import check_label

EARLIEST_ONSET_S = -0.5
"""Earliest accepted onset (s); one before it is not an inaccuracy, but a time of something else."""

# Stricter than `float`, which also accepts `nan`, `inf`, `1_000` and the digits of other scripts.
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
# A unit or another word may follow, as in `onset (s)` and `start_time`; `tmin` and `tmax` are the names of Praat.
_COLUMN = re.compile(r"(onset|offset|start|begin|end|stop|from|to|tmin|tmax)([ _(\[].*)?", re.IGNORECASE)
# Not `str.splitlines`: it also splits at form feeds and Unicode separators, after which editors count no new line.
_LINE_END = re.compile(r"\r\n|\r|\n")
_COMMENTS = ("#", "%", "//", ";")


class EventLine(NamedTuple):
    """One line of a list of events.

    Attributes:
        line: its number in the file, from 1.
        filename: the recording, "" in a label track.
        segment: the labelled segment, with the label "" if it has no name; None on a line that lists a
            recording without events, and on one that cannot be read.
        is_readable: whether the line could be parsed.
    """

    line: int
    filename: str
    segment: Segment | None
    is_readable: bool = True

    @property
    def is_usable(self) -> bool:
        """Whether the line has a labelled segment, or lists a recording without events."""
        return self.is_readable and (self.segment is None or self.segment.label != "")


class Parsed(NamedTuple):
    """The parsed lines of a text.

    Attributes:
        events: one for each line with content.
        problems: of lines that cannot be used.
        is_refused: whether a problem is an invalid label or file name: leaving it out could lose a class.
    """

    events: list[EventLine]
    problems: DatasetProblems
    is_refused: bool


class _NameError(DataError):
    """A label or the name of a recording is invalid."""


def parse_events(text: str) -> Parsed:
    """Parse the lines of `text`."""
    events: list[EventLine] = []
    problems = DatasetProblems()
    is_refused = False
    for line, content in enumerate(_LINE_END.split(text), 1):
        # Audacity follows the label of a frequency range by a line that begins with a backslash.
        if not content.strip() or content.lstrip().startswith("\\"):
            continue
        fields = _fields(content)
        try:
            events.append(_parse_line(line, fields))
        except DataError as error:
            if not _is_remark(fields, content):
                is_refused |= isinstance(error, _NameError)
                problems.add(f"line {line}: {error.what}")
                # Kept as an unreadable event: the gaps of its recording are then not used as background.
                events.append(EventLine(line, fields[0] if len(fields) == 4 else "", None, is_readable=False))
        else:
            segment = events[-1].segment
            # The event is kept without a name: it is no clip, but no background either (see `Entry.unnamed`).
            if segment and not segment.label:
                problems.add(f"line {line}: the label has no name")
    return Parsed(events, problems, is_refused)


def _parse_line(line: int, fields: list[str]) -> EventLine:
    if len(fields) not in (3, 4):
        raise DataError(f"{len(fields)} fields separated by tabs, but 3 or 4 are needed")
    *filenames, onset, offset, label = fields
    if any(not name or has_control_characters(name) for name in filenames):
        raise _NameError("the name of the recording is empty or holds control characters")
    # DCASE lists a recording without any event by its name alone.
    is_without_event = bool(filenames) and not (onset or offset or label)
    return EventLine(line, "".join(filenames), None if is_without_event else _parse_segment(onset, offset, label))


def _parse_segment(onset: str, offset: str, label: str) -> Segment:
    onset_s, offset_s = _parse_seconds("onset", onset), _parse_seconds("offset", offset)
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
    return Segment(checked, max(onset_s, 0.0), offset_s)


def _parse_seconds(name: str, text: str) -> float:
    seconds = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else math.nan
    # A number may match the pattern and still overflow, such as 1e999.
    if not math.isfinite(seconds):
        raise DataError(f"the {name} {text!r} is not a number of seconds")
    return seconds


def _fields(content: str) -> list[str]:
    """Split a line into fields, with an empty label where none is written."""
    for separator in ("\t", ";", None, ","):
        # Tabs at either end are not stripped here: they delimit empty fields.
        fields = [field.strip().strip('"') for field in _split_fields(content.strip(" \r"), separator)]
        if separator == "\t" and len(fields) > 1:
            return _completed(fields)
        # Any other separator may be part of a label, so it counts only if the time fields are numbers.
        if _has_times(fields, separator):
            return _completed(fields)
    alone = content.strip()
    return [alone, "", "", ""] if is_recording_name(alone) else [content]


def _split_fields(content: str, separator: str | None) -> list[str]:
    """Split a line into fields, of which the last may contain the separator."""
    fields = content.split(separator)
    if separator == "\t":
        return fields
    # The number of fields before the label, which may contain the separator.
    n_before = 3 if len(fields) > 2 and is_recording_name(fields[0].strip()) else 2
    return content.split(separator, n_before)


def _has_times(fields: list[str], separator: str | None) -> bool:
    times = fields[1:3] if is_recording_name(fields[0]) else fields[:2]
    # Where commas separate fields, they cannot be decimal commas.
    return len(times) == 2 and all(_NUMBER.fullmatch(time) and not (separator == "," and "," in time) for time in times)


def _completed(fields: list[str]) -> list[str]:
    """Return `fields` with an empty label that an editor has stripped, and without empty fields that one has added."""
    is_track = len(fields) > 1 and all(_NUMBER.fullmatch(field) for field in fields[:2])
    while is_track and len(fields) > 3 and not fields[-1]:
        fields = fields[:-1]
    is_short = len(fields) == (2 if is_track else 3) and _NUMBER.fullmatch(fields[-1])
    if is_short and _NUMBER.fullmatch(fields[-2]):
        return [*fields, ""]
    return fields


def _is_remark(fields: list[str], content: str) -> bool:
    """Return whether a line is a header with column names, or a comment."""
    words = fields if len(fields) > 1 else re.split(r"[;,\s]+", content.strip())
    n_columns = sum(_COLUMN.fullmatch(word.strip('"')) is not None for word in words)
    return n_columns >= 2 or content.lstrip().startswith(_COMMENTS)
