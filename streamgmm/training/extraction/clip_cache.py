"""Keep the measured clips of trainings in the user's cache folder, so that no clip is measured twice in the same way.

Each clip is a file, named by the hash of its sound and of all that its vectors depend on. A file that cannot be read,
or is damaged, is measured again; one that cannot be written costs only time.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streamgmm.dataset.clips import Clip
from streamgmm.errors import DataError
from streamgmm.files import reason_of
from streamgmm.labels import BACKGROUND
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.extraction.kept_vectors import cache_folder, code_sha256, read_vectors, write_vectors
from streamgmm.training.extraction.task import ExtractionTask
from streamgmm.world.world import read_index

logger = logging.getLogger("streamgmm.cache")

MAX_BYTES = 2 * 2**30
"""Size of all files. Those of earlier processes are removed first, the oldest before others; then those of this one,
the newest before others. In the usual order, a set beyond the limit would lose all clips before the next training."""

MAX_CLIP_BYTES = 2**26
"""Largest file, of a clip of about ten minutes: longer ones are measured each time."""

MAX_NEW_BYTES = 2**28
"""Bytes that a training may add before old files are removed."""


_STARTED_NS = time.time_ns()

_NO_NAMES: dict[str, Any] = {"path": Path("kept"), "label": "kept", "source_id": "kept", "fold": None}
"""Stands for the names of a clip in its file: they are private, need not be UTF-8, and are replaced when it is read."""


class Kept(NamedTuple):
    """What became of clips that were to be kept: the bytes written, and why not all could be written."""

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
        kept = next(read_vectors(path, MAX_CLIP_BYTES) or iter(()), None)
        if kept is None:
            return None
        # The time of its last use; a folder that may only be read keeps none.
        with suppress(OSError):
            os.utime(path)
        # Kept of the same sound, perhaps under another path or label.
        return kept._replace(clip=clip)

    def write(self, clips: Sequence[ClipVectors]) -> Kept:
        """Keep the vectors of clips."""
        n_bytes = 0
        try:
            for vectors in clips:
                nameless = vectors._replace(clip=msgspec.structs.replace(vectors.clip, **_NO_NAMES))
                n_bytes += write_vectors(self._path(vectors.clip), [nameless], MAX_CLIP_BYTES)
        except OSError as error:
            return Kept(n_bytes, reason_of(error))
        return Kept(n_bytes)

    def _path(self, clip: Clip) -> Path:
        # Of the label only its being background matters, which has no pauses and no copies.
        span = (clip.onset_s, clip.offset_s, clip.sample_rate_hz, clip.label == BACKGROUND)
        name = hashlib.sha256(msgspec.json.encode([self.key, clip.content_sha256, span])).hexdigest()
        # In many folders, as a write looks through the whole of its folder.
        return self.folder / name[:2] / name[2:34]

    def prune(self) -> None:
        """Remove files as far as the limit requires; see `MAX_BYTES`."""
        used: list[tuple[int, int, Path]] = []
        for path in self.folder.glob("*/*"):
            # Another training may remove it at the same time.
            with suppress(OSError):
                status = path.stat()
                used.append((status.st_mtime_ns, status.st_size, path))
        n_excess = sum(n_bytes for _, n_bytes, _ in used) - MAX_BYTES
        in_turn = sorted(used)
        n_before = sum(used_ns < _STARTED_NS for used_ns, _, _ in used)
        for _, n_bytes, path in [*in_turn[:n_before], *reversed(in_turn[n_before:])]:
            if n_excess <= 0:
                return
            with suppress(OSError):
                path.unlink()
            n_excess -= n_bytes


class Upkeep:
    """Keeps a cache within its limit during a training, and logs the first reason why it cannot be written.

    Args:
        cache: None for nothing to do.
    """

    def __init__(self, cache: ClipCache | None) -> None:
        self._cache = cache
        self._n_new_bytes = 0
        self._has_logged = False

    def note(self, kept: Kept) -> None:
        """Take note of clips that were to be kept."""
        self._n_new_bytes += kept.n_bytes
        if self._n_new_bytes >= MAX_NEW_BYTES:
            self.end()
        if kept.problem and self._cache is not None and not self._has_logged:
            self._has_logged = True
            where = str(self._cache.folder)
            logger.warning("cannot keep measured clips for the next training in %r: %s", where, kept.problem)

    def end(self) -> None:
        """Remove files beyond the limit, if any were added."""
        if self._cache is not None and self._n_new_bytes:
            self._cache.prune()
        self._n_new_bytes = 0


def clip_cache(task: ExtractionTask) -> ClipCache | None:
    """Return the cache of clips that are measured as in `task`; None for no cache."""
    folder = cache_folder()
    training = task.training
    if folder is None or not training.cache:
        return None
    try:
        world = read_index().sha256 if training.world else None
    except DataError:  # reported where the world is read as background
        world = None
    depends_on = [
        *(code_sha256(), task.spec, task.channel, task.silence_gate_dbfs, task.background_keys, world),
        *(training.cepstra != "never", sorted(training.without), training.rooms, training.seed),
        *(training.n_speed_copies, training.n_noise_copies, training.n_context_copies),
    ]
    return ClipCache(folder / "clips", hashlib.sha256(msgspec.json.encode(depends_on)).hexdigest())
