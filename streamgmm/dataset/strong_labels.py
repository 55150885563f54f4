"""Long recordings of which stretches are labelled: DCASE event lists and Audacity label tracks.

Both are lines of fields separated by tabs, times in seconds:

- `onset offset label`: a label track, a file named like the recording beside it (Audacity: Export Labels);
- `filename onset offset label`: an event list of several recordings (DCASE), each relative to the list.

What nobody labelled in such a recording is the real background of that room.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

from streamgmm.dataset.filenames import is_recording_name
from streamgmm.dataset.listing import DatasetError, Entry, Findings, Listing, Problems, Stretch, distinct_labels
from streamgmm.dataset.textfile import has_control_characters, read_text
from streamgmm.errors import DataError
from streamgmm.labels import check_label

LABEL_TRACK_SUFFIX = ".txt"
"""Suffix of label tracks, as Audacity writes them."""

_HEADER = ("onset", "offset")


class Event(NamedTuple):
    """One line of a list of events.

    Attributes:
        line: its number in the file, from 1.
        filename: the recording, "" in a label track.
        stretch: what is labelled; None on a line that only says that the recording has no event.
    """

    line: int
    filename: str
    stretch: Stretch | None


def read_event_list(path: Path, findings: Findings) -> Listing:
    """The data set that the event list or the label track at `path` describes.

    Raises:
        DatasetError: lines are wrong; every one is named.
        InputMissingError: there is no such file.
        PermissionDeniedError: it may not be read.
    """
    by_filename: dict[str, list[Stretch]] = {}
    for event in _read_events(path, findings):
        stretches = by_filename.setdefault(event.filename, [])
        if event.stretch:
            stretches.append(event.stretch)
    entries = [_entry(_recording_of(path, name), name, stretches) for name, stretches in by_filename.items()]
    return Listing("strong", distinct_labels(labels_of(entries), where=path), entries)


def track_name(recording_name: str) -> str:
    """Name of the label track of a recording."""
    return PurePath(recording_name).stem + LABEL_TRACK_SUFFIX


def read_label_track(recording: Path, name: str, findings: Findings) -> Entry:
    """The entry of `recording` (called `name`) from the label track beside it.

    Raises:
        DatasetError: lines are wrong; every one is named.
        PermissionDeniedError: the label track may not be read.
    """
    track = recording.with_name(track_name(recording.name))
    events = _read_events(track, findings)
    if any(event.filename for event in events):
        raise DatasetError(["a label track has onset, offset and label alone"], where=str(track))
    return _entry(recording, name, [event.stretch for event in events if event.stretch])


def labels_of(entries: Iterable[Entry]) -> set[str]:
    """The labels that `entries` name."""
    return {stretch.label for entry in entries for stretch in entry.stretches}


def gaps_between(stretches: Iterable[Stretch], duration_s: float, *, border_s: float) -> list[tuple[float, float]]:
    """What lies outside all `stretches` of a recording, as (onset_s, offset_s) pairs in order of time.

    Args:
        stretches: labelled parts, each with its times, in any order; they may overlap.
        duration_s: length of the recording (s).
        border_s: kept away from each stretch (s), as the ends of events are set by hand.
    """
    gaps = []
    end_s = 0.0
    for stretch in sorted(stretches, key=lambda stretch: stretch.onset_s):
        gaps.append((end_s, min(stretch.onset_s - border_s, duration_s)))
        end_s = max(end_s, stretch.offset_s + border_s)
    gaps.append((end_s, duration_s))
    return [(onset_s, offset_s) for onset_s, offset_s in gaps if onset_s < offset_s]


def _entry(recording: Path, name: str, stretches: list[Stretch]) -> Entry:
    return Entry(recording, name, stretches, has_gaps=True)


def _recording_of(path: Path, filename: str) -> Path:
    """The recording that `path` speaks of; beside a label track, the file with the same stem."""
    if filename:
        return path.parent / filename
    same_stem = (p for p in path.parent.glob("*") if p.stem == path.stem and p.suffix != path.suffix)
    return next((p for p in sorted(same_stem) if is_recording_name(p.name)), path.with_suffix(".wav"))


def _read_events(path: Path, findings: Findings) -> list[Event]:
    problems = Problems()
    events = list(_parse(read_text(path), problems))
    if len({bool(event.filename) for event in events}) > 1:
        problems.add("some lines name a recording and others do not")
    problems.raise_if_any(where=path, hint="lines are onset, offset and label, in seconds, separated by tabs")
    points = [event.line for event in events if event.stretch and event.stretch.is_point]
    if points:
        findings.warn(f"{path}: {len(points)} labels without duration are ignored, as in line {points[0]}")
    return events


def _parse(text: str, problems: Problems) -> Iterator[Event]:
    for line, content in enumerate(text.split("\n"), 1):
        # Audacity follows the label of a frequency range by a line that begins with a backslash.
        if not content.strip() or content.startswith("\\"):
            continue
        fields = [field.strip() for field in content.split("\t")]
        if len(fields) not in (3, 4):
            problems.add(f"line {line}: {len(fields)} fields separated by tabs, but 3 or 4 are needed")
            continue
        if tuple(fields[-3:-1]) == _HEADER:
            continue
        try:
            yield _event(line, fields)
        except DataError as error:
            problems.add(f"line {line}: {error.what}")


def _event(line: int, fields: list[str]) -> Event:
    *filenames, onset, offset, label = fields
    if any(not name or has_control_characters(name) for name in filenames):
        raise DataError("the name of the recording is empty or holds control characters")
    # DCASE lists a recording without any event by its name alone.
    is_without_event = bool(filenames) and not (onset or offset or label)
    return Event(line, "".join(filenames), None if is_without_event else _stretch(onset, offset, label))


def _stretch(onset: str, offset: str, label: str) -> Stretch:
    onset_s, offset_s = _seconds("onset", onset), _seconds("offset", offset)
    if offset_s < onset_s:
        raise DataError(f"the offset {offset} lies before the onset {onset}")
    return Stretch(check_label(label), onset_s, offset_s)


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 <= seconds < math.inf:
        raise DataError(f"the {name} {text!r} is not a number of seconds")
    return seconds
