"""Opening of untrusted files: accept regular files only, and no huge sparse files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from streamgmm.audio.recording_error import RecordingError, refuse

MAX_FILE_BYTES = 512 * 2**20
"""Largest file that is read whole, and largest file that may be sparse."""

# Without O_NONBLOCK, `open` would wait forever for the writer of a pipe that has just replaced the file.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_BLOCK_BYTES = 512  # unit of st_blocks on every file system


def open_regular(path: Path, follow_symlinks: bool, max_bytes: int) -> int:
    """Open a regular file; check its type first, because opening a device or a pipe can have side effects.

    Args:
        path: path of the file.
        follow_symlinks: False to reject a symbolic link.
        max_bytes: largest size that is accepted.

    Returns:
        Descriptor of the file.

    Raises:
        RecordingError: the file is not a regular file, is too large, or cannot be opened.
    """
    flags = _FLAGS | (0 if follow_symlinks else getattr(os, "O_NOFOLLOW", 0))
    try:
        _check(path.stat(follow_symlinks=follow_symlinks), max_bytes, str(path))
        # If links are rejected, O_NOFOLLOW also fails for one that has replaced the file since the check.
        fd = os.open(path, flags)
    except (OSError, ValueError) as error:
        refuse(error, path)
    try:
        # Check again: the file may have been replaced between `stat` and `open`.
        _check(os.fstat(fd), max_bytes, str(path))
    except RecordingError:
        os.close(fd)
        raise
    return fd


def _check(status: os.stat_result, max_bytes: int, where: str) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise RecordingError("is a symbolic link", reason="symlink", where=where, hint="name the file itself")
    if stat.S_ISDIR(status.st_mode):
        raise RecordingError("is a folder", reason="not_regular", where=where, hint="name the recordings in it")
    if not stat.S_ISREG(status.st_mode):
        raise RecordingError("is a pipe, a socket or a device, not a file", reason="not_regular", where=where)
    n_bytes = status.st_size
    if n_bytes == 0:
        raise RecordingError("is empty", reason="empty", where=where)
    if n_bytes > max_bytes:
        what = f"{n_bytes} bytes are too many"
        raise RecordingError(what, reason="too_large", where=where, hint=f"at most {max_bytes}; cut it into parts")
    # Windows has no st_blocks: there, no file counts as sparse.
    n_stored_bytes = getattr(status, "st_blocks", n_bytes) * _BLOCK_BYTES
    if n_bytes > MAX_FILE_BYTES and n_stored_bytes < n_bytes / 2:
        what = f"{n_bytes} bytes are too many, as only {n_stored_bytes} are stored and the rest is holes"
        raise RecordingError(what, reason="too_large", where=where, hint="copy the part that was recorded")
