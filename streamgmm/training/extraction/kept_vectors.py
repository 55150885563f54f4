"""Files of measured clips in the user's cache folder.

A file is the MessagePack of each clip after its length, and at the end the SHA-256 of all that: so it is written and
read clip by clip.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

import streamgmm
from streamgmm.arrays import AnyArray
from streamgmm.errors import StreamgmmError
from streamgmm.files import read_regular_file, replace_atomically
from streamgmm.training.extraction.clip_vectors import ClipVectors

_DIGEST_BYTES = hashlib.sha256().digest_size

_LENGTH_BYTES = 8

_MEASURING = ("arrays.py", "units.py", "audio", "features", "dataset/clips.py", "dataset/loading.py")
_MEASURING_COPIES = ("decision/clip.py", "world/world.py", "training/extraction")
"""Modules and packages on whose code the vectors of a clip depend."""

_LIBRARIES = ("numpy", "PyWavelets", "scipy", "soundfile", "soxr")


def cache_folder() -> Path | None:
    """Return the folder for files that only save time; None where the user has no home."""
    home = os.environ.get("HOME")
    cache_home = os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else None)
    # Relative paths are to be ignored (XDG Base Directory Specification).
    return Path(cache_home) / "streamgmm" if cache_home and Path(cache_home).is_absolute() else None


@functools.cache
def code_sha256() -> str:
    """Hash the code that measures clips, and the versions of its libraries: others may measure otherwise.

    The kernels are left out, as they agree with numpy within the accuracy of features.
    """
    package = Path(streamgmm.__file__).parent
    sha256 = hashlib.sha256(streamgmm.__version__.encode())
    for part in (*_MEASURING, *_MEASURING_COPIES):
        for module in sorted([package / part, *(package / part).rglob("*.py")]):
            if module.is_file():
                sha256.update(module.read_bytes())
    for library in _LIBRARIES:
        sha256.update(f"{library} {version(library)}".encode())
    return sha256.hexdigest()


class _TooLargeError(Exception):
    """The clips take more bytes than a file may."""


def read_vectors(path: Path, max_bytes: int) -> Iterator[ClipVectors] | None:
    """Return the clips that were written to `path`, decoded one by one; None if they are not there or not whole."""
    try:
        content = memoryview(read_regular_file(path, max_bytes))
    except (StreamgmmError, OSError):
        return None
    clips, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    return _decoded(clips) if hashlib.sha256(clips).digest() == digest else None


def write_vectors(path: Path, clips: Iterable[ClipVectors], max_bytes: int) -> int:
    """Write clips to `path`, unless they take more than `max_bytes`; return how many bytes were written.

    Raises:
        OSError: writing failed; there is no file, or the previous one.
    """
    n_bytes = _DIGEST_BYTES

    def content() -> Iterator[bytes]:
        nonlocal n_bytes
        sha256 = hashlib.sha256()
        for clip in clips:
            data = msgspec.msgpack.encode(clip._replace(pages=None), enc_hook=_parts)
            n_bytes += _LENGTH_BYTES + len(data)
            if n_bytes > max_bytes:
                raise _TooLargeError
            for part in (len(data).to_bytes(_LENGTH_BYTES, "little"), data):
                sha256.update(part)
                yield part
        yield sha256.digest()

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, f"{path.name} is a folder, which has to be removed")
    try:
        # Not synced: a file that a loss of power cuts has another digest, and is measured again.
        replace_atomically(path, content(), is_synced=False)
    except _TooLargeError:
        return 0
    return n_bytes


def _decoded(content: memoryview) -> Iterator[ClipVectors]:
    # What is whole was written by this very code, by which files are named, and so has no errors.
    while content:
        end = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
        yield msgspec.msgpack.decode(content[_LENGTH_BYTES:end], type=ClipVectors, dec_hook=_array)
        content = content[end:]


def _parts(value: Any) -> Any:
    match value:
        case np.ndarray():
            # In their own order, on which the last bits of sums depend.
            order: Literal["C", "F"] = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
            return value.dtype.str, value.shape, order, value.tobytes(order)
        case Path():
            return os.fspath(value)
    raise NotImplementedError(type(value))


def _array(kind: Any, value: Any) -> AnyArray | Path:
    if kind is Path:
        return Path(value)
    dtype, shape, order, data = value
    # A copy, as an array over `bytes` cannot be written to, and not all users only read.
    return np.frombuffer(data, dtype).reshape(shape, order=order).copy(order)
