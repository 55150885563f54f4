"""Keep the measured sounds of the world in the user's cache folder, so that only the first training measures them.

A file that cannot be read, is damaged or of another version is measured again; one that cannot be written costs only
time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from streamgmm.training.extraction.clip_vectors import ClipVectors, one_at_a_time
from streamgmm.training.extraction.kept_vectors import cache_folder, code_sha256, read_vectors, write_vectors
from streamgmm.training.extraction.vector_file import in_file

MAX_BYTES = 256 * 2**20
MAX_FILES = 4
"""Most files kept, one for each rate or window length that was trained lately: some 130 MB each."""


def kept_world(key: str, measure: Callable[[], Iterable[ClipVectors]]) -> list[ClipVectors]:
    """Return the clips kept under `key`, or else those that `measure` returns, and keep them.

    Args:
        key: names all that the clips depend on, except the code; part of a file name.
        measure: measures them.
    """
    if (kept := find_world(key)) is not None:
        return kept
    clips = in_file(measure())
    if (path := _path_of(key)) is not None:
        _write(path, clips)
    return clips


def find_world(key: str) -> list[ClipVectors] | None:
    """Return the clips kept under `key`; None if there are none."""
    path = _path_of(key)
    kept = path and read_vectors(path, MAX_BYTES)
    return in_file(kept) if kept else None


def _path_of(key: str) -> Path | None:
    folder = cache_folder()
    return folder / f"world-{code_sha256()[:8]}-{key[:32]}" if folder else None


def _write(path: Path, clips: list[ClipVectors]) -> None:
    with suppress(OSError):
        write_vectors(path, one_at_a_time(clips), MAX_BYTES)
        kept = sorted(path.parent.glob("world-*"), key=lambda file: file.stat().st_mtime, reverse=True)
        for old in kept[MAX_FILES:]:
            old.unlink()
