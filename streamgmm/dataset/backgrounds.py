"""Recordings of the background that lie beside the data set: a room, traffic, a radio; often hours in one file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from streamgmm.audio.reading import RecordingError, measure_s, open_recording
from streamgmm.dataset.listing import Entry, Findings, Stretch
from streamgmm.dataset.reasons import left_out_lines
from streamgmm.dataset.scan import recordings_below
from streamgmm.errors import DataError
from streamgmm.files import path_kind
from streamgmm.labels import BACKGROUND

STRETCH_S = 5.0
MAX_STRETCHES = 60
"""Of one recording, spread evenly over it: five minutes of a room tell what it is like, whatever its length."""


def background_recordings(places: Sequence[Path], findings: Findings) -> list[Path]:
    """The recordings named by `places`: files as they are, of folders all that lie below; each once.

    Raises:
        RecordingError: a file that was named cannot be opened.
        DataError: a folder holds none.
    """
    paths: dict[Path, None] = {}
    for place in places:
        if path_kind(place) == "folder":
            found = list(recordings_below(place, findings))
        else:
            open_recording(place, follow_symlinks=True).close()
            found = [place]
        if not found:
            left_out = left_out_lines(item for item in findings.skipped if place in item.path.parents)
            hint = "; ".join([*left_out, "name a folder with recordings, or a file"])
            raise DataError("holds no recordings", where=str(place), hint=hint)
        paths.update(dict.fromkeys(found))
    return list(paths)


def background_entries(places: Sequence[Path], findings: Findings) -> Iterator[Entry]:
    """The recordings named by `places` as entries of a data set; errors as for `background_recordings`."""
    for path in background_recordings(places, findings):
        yield Entry(path, str(path), list(_stretches(path)))


def _stretches(path: Path) -> Iterator[Stretch]:
    """The whole of a short recording, or stretches of a long one."""
    try:
        duration_s = measure_s(path, follow_symlinks=True)
    except RecordingError:
        duration_s = 0.0  # whatever is wrong with it is told when it is examined
    if duration_s <= MAX_STRETCHES * STRETCH_S:
        yield Stretch(BACKGROUND)
        return
    stride_s = (duration_s - STRETCH_S) / (MAX_STRETCHES - 1)
    for number in range(MAX_STRETCHES):
        yield Stretch(BACKGROUND, number * stride_s, number * stride_s + STRETCH_S)
