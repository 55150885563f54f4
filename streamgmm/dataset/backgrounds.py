"""Background recordings besides the data set: a room, traffic, a radio; often hours in one file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from streamgmm.audio.reading import RecordingError, measure_s, open_recording
from streamgmm.dataset.listing import Entry, Findings, Segment
from streamgmm.dataset.reasons import left_out_lines
from streamgmm.dataset.scan import recordings_below
from streamgmm.errors import DataError
from streamgmm.files import path_kind
from streamgmm.labels import BACKGROUND

SEGMENT_S = 5.0
MAX_SEGMENTS = 60
"""Most segments of one recording, spread evenly over it: five minutes represent a room, whatever the length."""


def background_recordings(places: Sequence[Path], findings: Findings) -> list[Path]:
    """Return the recordings at `places`: files as they are, and all recordings below folders; each once.

    Raises:
        RecordingError: a file that was named cannot be opened.
        DataError: a folder holds no recordings.
    """
    paths: dict[Path, None] = {}
    for place in places:
        if path_kind(place) == "folder":
            found = list(recordings_below(place, findings))
        else:
            # Opened and closed at once: a file that was named must be an error; one found in a folder is only left out.
            open_recording(place, follow_symlinks=True).close()
            # Resolved: recordings of a data set are read without following links, but a link that was named is meant.
            found = [place.resolve() if place.is_symlink() else place]
        if not found:
            left_out = left_out_lines(item for item in findings.skipped if place in item.path.parents)
            hint = "; ".join([*left_out, "name a folder with recordings, or a file"])
            raise DataError("holds no recordings", where=str(place), hint=hint)
        paths.update(dict.fromkeys(found))
    return list(paths)


def background_entries(places: Sequence[Path], findings: Findings) -> Iterator[Entry]:
    """Yield the recordings at `places` as entries of a data set; errors as for `background_recordings`."""
    for path in background_recordings(places, findings):
        yield Entry(path, str(path), list(_segments(path)))


def _segments(path: Path) -> Iterator[Segment]:
    """Yield the whole of a short recording, or segments of a long one."""
    try:
        duration_s = measure_s(path, follow_symlinks=True)
    except RecordingError:
        duration_s = 0.0  # its error is reported when the recording is examined
    if duration_s <= MAX_SEGMENTS * SEGMENT_S:
        yield Segment(BACKGROUND)
        return
    # The first segment begins with the recording, and the last one ends with it. They never overlap, as the recording
    # is longer than all of them together.
    stride_s = (duration_s - SEGMENT_S) / (MAX_SEGMENTS - 1)
    for number in range(MAX_SEGMENTS):
        yield Segment(BACKGROUND, number * stride_s, number * stride_s + SEGMENT_S)
