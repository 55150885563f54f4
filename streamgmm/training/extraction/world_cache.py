"""Keep the measured sounds of the world in the user's cache folder, so that only the first training measures them.

A file holds the SHA-256 of its content, then the content as MessagePack. A file that cannot be read, is damaged or of
another version is measured again; one that cannot be written costs only time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from streamgmm import __version__
from streamgmm.arrays import AnyArray
from streamgmm.errors import StreamgmmError
from streamgmm.files import read_regular_file, replace_atomically
from streamgmm.training.extraction.clip_vectors import ClipVectors

MAX_BYTES = 256 * 2**20
MAX_FILES = 4
"""Most files kept, one for each rate or window length that was trained lately: some 20 MB each."""

_DIGEST_BYTES = hashlib.sha256().digest_size


def kept_world(key: str, measure: Callable[[], list[ClipVectors]]) -> list[ClipVectors]:
    """Return the clips kept under `key`, or else those that `measure` returns, and keep them.

    Args:
        key: names all that the clips depend on, except the version of streamgmm; part of a file name.
        measure: measures them.
    """
    folder = _folder()
    if folder is None:
        return measure()
    # Another version may measure otherwise.
    path = folder / f"world-{__version__}-{key[:32]}"
    clips = _read(path)
    if clips is None:
        clips = measure()
        _write(path, clips)
    return clips


def _folder() -> Path | None:
    home = os.environ.get("HOME")
    cache_home = os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else None)
    return Path(cache_home) / "streamgmm" if cache_home else None


def _read(path: Path) -> list[ClipVectors] | None:
    try:
        content = read_regular_file(path, MAX_BYTES)
        if hashlib.sha256(content[_DIGEST_BYTES:]).digest() != content[:_DIGEST_BYTES]:
            return None
        return msgspec.msgpack.decode(content[_DIGEST_BYTES:], type=list[ClipVectors], dec_hook=_array)
    except (StreamgmmError, OSError, ValueError, TypeError):
        return None


def _write(path: Path, clips: list[ClipVectors]) -> None:
    content = msgspec.msgpack.encode(clips, enc_hook=_parts)
    with suppress(StreamgmmError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_atomically(path, hashlib.sha256(content).digest() + content)
        kept = sorted(path.parent.glob("world-*"), key=lambda file: file.stat().st_mtime, reverse=True)
        for old in kept[MAX_FILES:]:
            old.unlink()


def _parts(value: Any) -> Any:
    match value:
        case np.ndarray():
            return value.dtype.str, value.shape, value.tobytes()
        case Path():
            return str(value)
    raise NotImplementedError(type(value))


def _array(kind: Any, value: Any) -> AnyArray | Path:
    if kind is Path:
        return Path(value)
    dtype, shape, data = value
    # A copy, as an array over `bytes` cannot be written to, and not all users only read.
    return np.frombuffer(data, dtype).reshape(shape).copy()
