"""Append lines to a regular file: open it safely, and never leave an incomplete line."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from streamgmm.errors import CannotCreateError, PermissionDeniedError, StreamgmmError

FILE_MODE = 0o640
"""Mode of new files: sounds of a home concern its owner, and members of the file's group. The umask may restrict it
further."""

# Opening a pipe that nobody reads must not block, and a symbolic link must not redirect the output.
_APPEND_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT
_APPEND_FLAGS |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_APPEND_FLAGS |= getattr(os, "O_BINARY", 0)


def append_whole(fd: int, line: bytes) -> None:
    """Append a line to a file without other writers; if that fails, restore the file.

    Raises:
        OSError: the line could not be written.
    """
    n_bytes_before = os.fstat(fd).st_size
    unwritten = memoryview(line)
    try:
        while unwritten:
            unwritten = unwritten[os.write(fd, unwritten) :]
    except OSError:
        # A disk that is nearly full accepts the beginning of a line.
        os.ftruncate(fd, n_bytes_before)
        raise


def open_for_appending(path: Path) -> int:
    """Open the regular file at `path`, which is created if missing, and return its descriptor.

    Raises:
        CannotCreateError: `path` is not a regular file, or its directory does not exist.
        PermissionDeniedError: the user may not write there.
        OSError: the file exists, but an incomplete last line in it cannot be ended.
    """
    try:
        # Checked before opening, because opening a device can have effects.
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise _irregular(path)
        fd = os.open(path, _APPEND_FLAGS, FILE_MODE)
    except OSError as error:
        raise _append_error(error, path) from error
    try:
        # Something else may have taken the place of the file since the check of the path.
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _irregular(path)
        _end_line(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _irregular(path: Path) -> CannotCreateError:
    return CannotCreateError("there is something else that is not a regular file", where=str(path))


def _append_error(error: OSError, path: Path) -> StreamgmmError:
    if isinstance(error, FileNotFoundError):
        return CannotCreateError("the directory does not exist", where=str(path.parent), hint="create it")
    reason = f"cannot open: {os.strerror(error.errno or 0)}"
    if isinstance(error, PermissionError):
        return PermissionDeniedError(reason, where=str(path))
    return CannotCreateError(reason, where=str(path))


def _end_line(fd: int) -> None:
    """End a last line that a crash or a power failure left incomplete, so that the next line begins on its own."""
    if os.fstat(fd).st_size:
        os.lseek(fd, -1, os.SEEK_END)
        if os.read(fd, 1) != b"\n":
            os.write(fd, b"\n")


def is_at(fd: int, path: Path) -> bool:
    """Return whether the open file is still the one at `path`."""
    try:
        # By device and inode, which a rename keeps.
        return os.path.samestat(path.lstat(), os.fstat(fd))
    except OSError:
        return False
