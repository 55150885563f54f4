"""Read long recordings with labelled segments: DCASE event lists and Audacity label tracks.

Both are lines of fields, times in seconds (see `event_lines`):

- `onset offset label`: a label track, a file named like the recording beside it (Audacity: Export Labels);
- `filename onset offset label`: an event list of several recordings (DCASE), each relative to the list.

The gaps between labels in such a recording are the real background of that room.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePath

from streamgmm.dataset.event_lines import EventLine, parse_events
from streamgmm.dataset.filenames import is_recording_name, normalised_name
from streamgmm.dataset.listing import (
    SHORTEST_SEGMENT_S,
    DatasetError,
    Entry,
    Findings,
    Listing,
    Segment,
    distinct_labels,
)
from streamgmm.dataset.named_files import NamedFiles
from streamgmm.dataset.scan import FolderContent
from streamgmm.dataset.textfile import read_text
from streamgmm.errors import DataError

LABEL_TRACK_SUFFIX = ".txt"
"""Suffix of label tracks, as Audacity writes them; upper case as well."""

END_TOLERANCE_S = 0.5
"""How far a segment may end beyond its recording without a warning (s)."""


def read_event_list(path: Path, findings: Findings) -> Listing:
    """Read the event list or the label track at `path`.

    It may name recordings outside its folder, as a manifest may (see `NamedFiles`).

    Raises:
        DatasetError: labels are invalid, or no line is usable; the error lists all wrong lines.
        InputMissingError: there is no such file.
        PermissionDeniedError: it may not be read.
    """
    by_filename: dict[str, list[EventLine]] = {}
    for event in _read_events(path, findings):
        by_filename.setdefault(event.filename, []).append(event)
    files = NamedFiles(path)
    entries = []
    for name, events in by_filename.items():
        # Lines without names of recordings: the path of the data set is a label track.
        recording = files.find(events[0].line, name) if name else _recording_beside(path)
        entries.append(_strong_entry(recording, name, events))
    files.report(findings)
    return Listing("strong", distinct_labels(labels_of(entries), where=path), entries)


def read_label_tracks(root: Path, content: FolderContent, findings: Findings) -> list[Entry]:
    """Return the entries of the recordings in `root` that have a label track beside them.

    Args:
        root: the folder.
        content: of the folder; recordings without a label track are left out, and so are those whose text file is
            something else, such as a transcript.
        findings: collects what is left out.

    Raises:
        DatasetError: labels are invalid, or there are only label tracks and none has a usable line.
    """
    tracks = {normalised_name(name): name for name in content.descriptions}
    entries: list[Entry] = []
    unusable: list[UnusableLinesError] = []
    for name in content.recordings:
        # Recorders and Windows write REC1.TXT beside REC1.WAV.
        track = tracks.get(normalised_name(track_name(name)))
        if track is None:
            findings.skip(root / name, "outside_class")
            continue
        try:
            entries.append(_strong_entry(root / name, name, _track_events(root / track, findings)))
        except UnusableLinesError as error:
            unusable.append(error)
            findings.skip(root / name, "bad_labels")
    # With other tracks or folders of classes, the data set may be usable without these.
    if unusable and not entries and not content.folders:
        raise unusable[0]
    for unread in unusable:
        findings.warn(f"{unread.where}: {unread.problems[0]}")
    return entries


class UnusableLinesError(DatasetError):
    """A label track has no usable line; other tracks may have some."""


def track_name(recording_name: str) -> str:
    """Return the name of the label track of a recording."""
    return PurePath(recording_name).stem + LABEL_TRACK_SUFFIX


def labels_of(entries: Iterable[Entry]) -> set[str]:
    """Return the labels of `entries`."""
    return {segment.label for entry in entries for segment in entry.segments}


def gaps_between(segments: Iterable[Segment], duration_s: float, *, border_s: float) -> list[tuple[float, float]]:
    """Return the gaps between the `segments` of a recording, as (onset_s, offset_s) pairs in order of time.

    Args:
        segments: labelled segments in any order; they may overlap.
        duration_s: length of the recording (s).
        border_s: distance from each segment (s), as the ends of events are set by hand.
    """
    gaps = []
    end_s = 0.0
    # `end_s` is the latest end so far: a long segment may contain later ones.
    for segment in sorted(segments, key=lambda segment: segment.onset_s):
        gaps.append((end_s, min(segment.onset_s - border_s, duration_s)))
        end_s = max(end_s, segment.offset_s + border_s)
    gaps.append((end_s, duration_s))
    return [(onset_s, offset_s) for onset_s, offset_s in gaps if onset_s < offset_s]


def beyond_end(label: str, onset_s: float, offset_s: float, duration_s: float) -> str:
    """Return how a labelled segment exceeds its recording, as the end of a warning; empty if it does not.

    Times in samples or milliseconds look like that.

    Args:
        label: its label.
        onset_s: its start (s).
        offset_s: its end (s); programs round it, so that it may lie `END_TOLERANCE_S` beyond the end.
        duration_s: length of the recording (s).
    """
    # Cut off at the end of the recording, it would be shorter than any usable segment.
    if onset_s + SHORTEST_SEGMENT_S > duration_s:
        return f"{label!r} at {onset_s} s lies beyond its end"
    if offset_s > duration_s + END_TOLERANCE_S:
        return f"{label!r} at {onset_s} s ends at {offset_s:g} s, beyond its end at {duration_s:.2f} s"
    return ""


def _strong_entry(recording: Path, name: str, events: list[EventLine]) -> Entry:
    segments = [event.segment for event in events if event.segment and event.segment.label]
    unnamed = [event.segment for event in events if event.segment and not event.segment.label]
    # The event of an unreadable line may lie anywhere, so every apparent gap may contain it.
    has_gaps = all(event.is_readable for event in events)
    return Entry(recording, name, segments, has_gaps=has_gaps, unnamed=unnamed)


def _recording_beside(track: Path) -> Path:
    """Return the recording of the label track at `track`: the file with the same stem."""
    stem = normalised_name(track.stem)
    beside = (
        path for path in track.parent.glob("*") if is_recording_name(path.name) and normalised_name(path.stem) == stem
    )
    # The default does not exist, and is reported as missing when it is opened.
    return min(beside, default=track.with_suffix(".wav"))


def _track_events(track: Path, findings: Findings) -> list[EventLine]:
    try:
        events = _read_events(track, findings)
    # Already of the kind that the caller distinguishes. Other errors, such as a wrong encoding, make one track
    # unusable.
    except DatasetError:
        raise
    except DataError as error:
        raise UnusableLinesError([error.what], where=str(track), hint=error.hint) from error
    if any(event.filename for event in events):
        raise UnusableLinesError(["a label track has onset, offset and label alone"], where=str(track))
    return events


def _read_events(path: Path, findings: Findings) -> list[EventLine]:
    events, problems, is_refused = parse_events(read_text(path))
    if len({bool(event.filename) for event in events if event.is_readable}) > 1:
        problems.add("some lines name a recording and others do not")
        is_refused = True
    if problems.n_found and (is_refused or not any(event.is_usable for event in events)):
        kind = DatasetError if is_refused else UnusableLinesError
        hint = "lines are onset, offset and label, in seconds, separated by tabs"
        raise kind(problems.lines(), where=str(path), hint=hint)
    for problem in problems.lines():
        findings.warn(f"{path}: left out: {problem}")
    if any(not event.is_readable for event in events):
        findings.warn(f"{path}: an event may lie where a line was left out, so nothing there is used as background")
    points = [event.line for event in events if event.segment and event.segment.is_point]
    if points:
        findings.warn(f"{path}: {len(points)} labels shorter than 10 ms are ignored, as in line {points[0]}")
    return _without_nameless(events)


def _without_nameless(events: list[EventLine]) -> list[EventLine]:
    """Drop lines without a recording where others name one; any recording may have that event, so none has gaps."""
    is_list = any(event.filename for event in events)
    nameless = [event for event in events if is_list and not event.filename]
    if not nameless:
        return events
    return [event._replace(is_readable=False) for event in events if event.filename]
