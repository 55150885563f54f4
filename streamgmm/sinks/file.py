"""Records to a file: whole lines only, whoever rotates it and however full the disk is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from streamgmm.config import TextFormat
from streamgmm.errors import CannotCreateError, ConfigError, PermissionDeniedError, StreamgmmError
from streamgmm.sinks.lines import RETRY_S, LineSink
from streamgmm.sinks.selection import Selection
from streamgmm.sinks.stdout import write_error

FILE_MODE = 0o640
"""What a home sounds like concerns its owner, and whoever its owner put into the group; the umask takes more off."""

# A pipe that nobody reads must not hold the open up, nor a link lead elsewhere.
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT
_FLAGS |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_FLAGS |= getattr(os, "O_BINARY", 0)


class FileSink(LineSink):
    """Appends lines to a file.

    Before each line it looks whether the file is still the one at the path: after a rotation by rename
    the line goes to a fresh file; one by copy and truncate needs nothing, as every write is at the end.
    Rotation loses no record and cuts none in two. A full disk, or a directory that vanished, is waited for.

    Args:
        uri: `file://PATH`.
        text_format: what a line looks like.
        max_records: records kept while the file takes none.
        is_live: as for `LineSink`; a file that takes nothing ends the run of a source that can wait.
        retry_s: from one attempt to the next while it takes nothing (seconds).
        selection: the records that it gets; None: all.

    Raises:
        ConfigError: there is no path.
    """

    def __init__(
        self,
        uri: str,
        *,
        text_format: TextFormat = "jsonl",
        max_records: int = 1024,
        is_live: bool = True,
        retry_s: float = RETRY_S,
        selection: Selection | None = None,
    ) -> None:
        super().__init__(
            uri,
            text_format=text_format,
            max_records=max_records,
            is_live=is_live,
            retry_s=retry_s,
            selection=selection,
        )
        self._path = _parse(uri)
        self._fd: int | None = None
        self._is_stale = False

    def reopen(self) -> None:
        """Open the path anew before the next line, and try at once if the file takes nothing; from any thread."""
        with self._changed:
            self._is_stale = self._is_retry_wanted = True
            self._changed.notify_all()

    def _claim(self) -> None:
        try:
            self._fd = _open(self._path)
        except OSError as error:
            raise self._failure(error) from error

    def _write(self) -> None:
        append_whole(self._current_fd(), self._unwritten)

    def _may_heal(self, error: OSError | StreamgmmError) -> bool:
        return self._is_live

    def _release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
        self._fd = None

    def _failure(self, error: OSError) -> StreamgmmError:
        return write_error(error, str(self._path))

    def _current_fd(self) -> int:
        if self._fd is None or self._is_stale or not _is_at(self._fd, self._path):
            self._is_stale = False
            self._release()
            self._fd = _open(self._path)
        return self._fd


def append_whole(fd: int, line: bytes | memoryview) -> None:
    """Append a line to a file that nobody else writes to, or leave the file as it was.

    Raises:
        OSError: the file takes no more.
    """
    n_bytes_before = os.fstat(fd).st_size
    unwritten = memoryview(line)
    try:
        while unwritten:
            unwritten = unwritten[os.write(fd, unwritten) :]
    except OSError:
        # A disk that is nearly full takes the beginning of a line.
        os.ftruncate(fd, n_bytes_before)
        raise


def _parse(uri: str) -> Path:
    path = uri.removeprefix("file://")
    if not Path(path).name or path.endswith("/") or not path.isprintable():
        raise ConfigError([f"output.sinks: {uri!r} is not of the form file://PATH"])
    return Path(path)


def _open(path: Path) -> int:
    """A descriptor of the regular file at `path`, which is made if there is none.

    Raises:
        CannotCreateError: there is something else, or no directory.
        PermissionDeniedError: the user may not write there.
        OSError: it is there and takes nothing.
    """
    try:
        # Looked at first, because opening a device can have effects.
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise _irregular(path)
        fd = os.open(path, _FLAGS, FILE_MODE)
    except OSError as error:
        raise _open_error(error, path) from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _irregular(path)
        _end_line(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _irregular(path: Path) -> CannotCreateError:
    return CannotCreateError("there is something else that is not a regular file", where=str(path))


def _open_error(error: OSError, path: Path) -> StreamgmmError:
    if isinstance(error, FileNotFoundError):
        return CannotCreateError("the directory does not exist", where=str(path.parent), hint="create it")
    reason = f"cannot open: {os.strerror(error.errno or 0)}"
    if isinstance(error, PermissionError):
        return PermissionDeniedError(reason, where=str(path))
    return CannotCreateError(reason, where=str(path))


def _end_line(fd: int) -> None:
    """Close a line that a crash or a loss of power cut in two, so that the next one is not part of it."""
    if os.fstat(fd).st_size:
        os.lseek(fd, -1, os.SEEK_END)
        if os.read(fd, 1) != b"\n":
            os.write(fd, b"\n")


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(fd))
    except OSError:
        return False
