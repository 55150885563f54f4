"""Keep the measured clips of trainings in the user's cache folder, so that no clip is measured twice in the same way.

Each clip is a file, named by the hash of its sound and of all that its vectors depend on. A file that cannot be read,
or is damaged, is measured again; one that cannot be written costs only time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from streamgmm.dataset.clips import Clip
from streamgmm.files import reason_of
from streamgmm.labels import BACKGROUND
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.extraction.kept_vectors import cache_folder, code_sha256, read_vectors, write_vectors

MAX_BYTES = 2 * 2**30
"""Size of all files; those that were not used for the longest time are removed first."""

MAX_CLIP_BYTES = 2**26
"""Largest file, of a clip of about ten minutes: longer ones are measured each time."""

MAX_NEW_BYTES = 2**28
"""Bytes that a training may add before old files are removed."""


class Kept(NamedTuple):
    """What became of a clip that was to be kept: the bytes written, or why none could be written."""

    n_bytes: int = 0
    problem: str = ""


class ClipCache(NamedTuple):
    """The clips measured in one way.

    Attributes:
        folder: holds the files of all ways.
        key: hash of all that the vectors depend on, except the clip.
    """

    folder: Path
    key: str

    def read(self, clip: Clip) -> ClipVectors | None:
        """Return the vectors of `clip`; None if they have to be measured."""
        path = self._path(clip)
        clips = read_vectors(path, MAX_CLIP_BYTES)
        if clips is None or len(clips) != 1:
            return None
        # The time of its last use; a folder that may only be read keeps none.
        with suppress(OSError):
            os.utime(path)
        # Kept of the same sound, perhaps under another path or label.
        return clips[0]._replace(clip=clip)

    def write(self, vectors: ClipVectors) -> Kept:
        """Keep the vectors of a clip."""
        try:
            return Kept(write_vectors(self._path(vectors.clip), [vectors], MAX_CLIP_BYTES))
        except OSError as error:
            return Kept(problem=reason_of(error))

    def _path(self, clip: Clip) -> Path:
        # Of the label only its being background matters, which has no pauses and no copies.
        span = (clip.onset_s, clip.offset_s, clip.sample_rate_hz, clip.label == BACKGROUND)
        name = hashlib.sha256(msgspec.json.encode([self.key, clip.content_sha256, span])).hexdigest()
        # In many folders, as a write looks through the whole of its folder.
        return self.folder / name[:2] / name[2:34]

    def prune(self) -> None:
        """Remove the files that were used least lately, as far as the limit requires."""
        used: list[tuple[int, int, Path]] = []
        for path in self.folder.glob("*/*"):
            # Another training may remove it at the same time.
            with suppress(OSError):
                status = path.stat()
                used.append((status.st_mtime_ns, status.st_size, path))
        n_excess = sum(n_bytes for _, n_bytes, _ in used) - MAX_BYTES
        for _, n_bytes, path in sorted(used):
            if n_excess <= 0:
                return
            with suppress(OSError):
                path.unlink()
            n_excess -= n_bytes


def clip_cache(depends_on: Sequence[object]) -> ClipCache | None:
    """Return the cache of clips that are measured in one way; None where there is no folder for it.

    Args:
        depends_on: all that the vectors depend on, except the clip and the code.
    """
    folder = cache_folder()
    if folder is None:
        return None
    key = hashlib.sha256(msgspec.json.encode([code_sha256(), depends_on])).hexdigest()
    return ClipCache(folder / "clips", key)
