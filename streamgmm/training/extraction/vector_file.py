"""Keep the vectors of measured clips in a temporary file.

Those of hundreds of clips take gigabytes, of which a fit reads a few megabytes at a time. The file is mapped into
memory, so that its arrays are used like any others, and has no name, so that nothing is left of it however the process
ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from mmap import ACCESS_READ, PAGESIZE, mmap
from pathlib import Path
from typing import BinaryIO

import numpy as np

from streamgmm.arrays import Float32Array
from streamgmm.errors import SystemResourceError
from streamgmm.files import reason_of
from streamgmm.training.extraction.clip_vectors import ClipCepstra, ClipVectors, ContextCopy, Pages

ALIGNMENT_BYTES = 64
"""Arrays begin at multiples of it, as those that numpy allocates at least nearly do: a cache line."""

DISK_FOLDER = Path("/var/tmp")
"""Where large temporary files belong: `/tmp` is often in memory."""

ArrayFunction = Callable[[Float32Array], Float32Array]


class VectorFile:
    """Collects clips, and returns them with their vectors in a file; a context manager.

    The file lasts as long as any array of the clips that were returned.
    """

    def __init__(self) -> None:
        self._folder = _folder()
        self._file: BinaryIO | None = None
        self._clips: list[ClipVectors] = []
        self._n_bytes = 0

    def __enter__(self) -> VectorFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, clip: ClipVectors) -> int:
        """Write the vectors of a clip; return its position among the clips that were added.

        Raises:
            SystemResourceError: the file cannot be created, or the disk is full.
        """
        try:
            self._clips.append(_with_arrays(clip, self._write))
        except OSError as error:
            what = f"cannot keep measured clips there: {reason_of(error)}"
            hint = "set TMPDIR to a folder with more room"
            raise SystemResourceError(what, where=str(self._folder), hint=hint) from error
        # Each clip has pages of its own, which can be taken out of memory alone.
        self._n_bytes = _rounded_up(self._n_bytes, PAGESIZE)
        return len(self._clips) - 1

    def clips(self) -> list[ClipVectors]:
        """Return all clips in the order in which they were added."""
        if self._file is None:
            return self._clips
        self._file.truncate(self._n_bytes)
        return _Reader(mmap(self._file.fileno(), self._n_bytes, access=ACCESS_READ)).clips(self._clips)

    def _write(self, array: Float32Array) -> Float32Array:
        """Write an array, and return one of its shape that takes no memory."""
        if array.size:
            # Not before there is anything to write: an empty file cannot be mapped.
            self._file = self._file or _nameless_file(self._folder)
            self._n_bytes = _rounded_up(self._n_bytes, ALIGNMENT_BYTES)
            self._file.seek(self._n_bytes)
            data = np.ascontiguousarray(array).data.cast("B")
            self._n_bytes += len(data)
            while data:
                data = data[self._file.write(data) :]
        return np.broadcast_to(np.zeros((), array.dtype), array.shape)


def in_file(clips: Iterable[ClipVectors]) -> list[ClipVectors]:
    """Return clips with their vectors in a temporary file.

    Raises:
        SystemResourceError: the file cannot be created, or the disk is full.
    """
    with VectorFile() as vectors:
        for clip in clips:
            vectors.add(clip)
        return vectors.clips()


class _Reader:
    """Gives clips their arrays back, in the order in which they were written."""

    def __init__(self, mapped: mmap) -> None:
        self._mapped = mapped
        self._n_bytes = 0

    def clips(self, clips: list[ClipVectors]) -> list[ClipVectors]:
        return [self._clip(clip) for clip in clips]

    def _clip(self, clip: ClipVectors) -> ClipVectors:
        first = self._n_bytes
        clip = _with_arrays(clip, self._view)
        self._n_bytes = _rounded_up(self._n_bytes, PAGESIZE)
        return clip._replace(pages=Pages(self._mapped, first, self._n_bytes - first))

    def _view(self, array: Float32Array) -> Float32Array:
        if not array.size:
            return np.zeros(array.shape, array.dtype)
        first = _rounded_up(self._n_bytes, ALIGNMENT_BYTES)
        self._n_bytes = first + array.nbytes
        return np.frombuffer(self._mapped, array.dtype, array.size, first).reshape(array.shape)


def _with_arrays(clip: ClipVectors, changed: ArrayFunction) -> ClipVectors:
    """Return `clip` with its large arrays changed, in an order that is always the same."""
    return clip._replace(
        vectors=changed(clip.vectors),
        copies=changed(clip.copies),
        cepstra=_with_cepstra(clip.cepstra, changed),
        contexts=tuple(_with_context(context, changed) for context in clip.contexts),
    )


def _with_context(context: ContextCopy, changed: ArrayFunction) -> ContextCopy:
    return context._replace(vectors=changed(context.vectors), cepstra=_with_cepstra(context.cepstra, changed))


def _with_cepstra(cepstra: ClipCepstra | None, changed: ArrayFunction) -> ClipCepstra | None:
    return cepstra and cepstra._replace(vectors=changed(cepstra.vectors), copies=changed(cepstra.copies))


def _folder() -> Path:
    if not os.environ.get("TMPDIR") and os.access(DISK_FOLDER, os.W_OK):
        return DISK_FOLDER
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:  # no folder can be written to, which is reported when the file is created
        return DISK_FOLDER


def _nameless_file(folder: Path) -> BinaryIO:
    # Unbuffered: a buffer would be written, and fail, once more when the file is closed.
    return tempfile.TemporaryFile(buffering=0, dir=folder)


def _rounded_up(n_bytes: int, unit: int) -> int:
    return -(-n_bytes // unit) * unit
