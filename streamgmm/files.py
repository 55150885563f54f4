"""Safe access to files that users name: reads of regular files only, and atomic writes."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal

from streamgmm.errors import CannotCreateError, DataError, InputMissingError, PermissionDeniedError

# O_NONBLOCK: opening a pipe without a writer returns at once. O_BINARY: Windows would translate line ends.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# The names that `_create_beside` makes; DOTALL, because even a suffix may contain a newline.
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}(\..*)?\.tmp", re.DOTALL)
_PIECE_BYTES = 2**20
# Sources are written `file:PATH`, sinks `file://PATH` and `unix://PATH`.
_TILDE = re.compile(r"(?P<scheme>(?:file|unix):(?://)?)?~(?P<user>[^/]*)")
_PATH_KINDS: dict[int, PathKind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFSOCK: "socket",
}
# O_EXCL: a file or link that has the random name already is never written to.
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


MAX_SOCKET_PATH_BYTES = 107
"""Longest path of a socket (bytes): `sockaddr_un` of Linux has 108 bytes with the terminating zero (unix(7))."""

PathKind = Literal["nothing", "file", "folder", "link", "socket", "other"]
"""Kinds of entries at a path; `other` is a pipe or a device."""


def path_status(path: Path, *, follow_symlinks: bool = True) -> os.stat_result | None:
    """Return the status of the entry at `path`; None if there is none, or only a dangling link.

    The predicates of `pathlib` (`exists`, `is_file`, ...) raise OSError for most failures and hide others. Here each
    failure raises an error with a message for users.

    Raises:
        PermissionDeniedError: a folder on the way may not be entered.
        InputMissingError: the status cannot be read, e.g. because the name is too long, links form a loop, or the disk
            fails.
    """
    try:
        return path.stat(follow_symlinks=follow_symlinks)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _read_error(path, error) from error


def path_kind(path: Path, *, follow_symlinks: bool = True) -> PathKind:
    """Return the kind of the entry at `path`, or of its target if it is a link; errors as for `path_status`."""
    status = path_status(path, follow_symlinks=follow_symlinks)
    return "nothing" if status is None else _PATH_KINDS.get(stat.S_IFMT(status.st_mode), "other")


def expand_home(place: str) -> str:
    """Replace a leading `~` or `~user` in a path, or in a URI with a path, by the home directory, as a shell does.

    An existing file called `~name` stays as it is if there is no such user.

    Raises:
        InputMissingError: the user or the home directory is unknown.
    """
    match = _TILDE.match(place)
    if match is None:
        return place
    scheme, user = match["scheme"] or "", match["user"]
    home = _home_of(user)
    if not home:
        if user and os.path.lexists(place[len(scheme) :]):
            return place
        what = f"there is no user {user}" if user else "the home directory is not known, as HOME is not set"
        raise InputMissingError(what, where=place, hint=f"name the whole path, or a file ./~{user}")
    return scheme + home + place[match.end() :]


def _home_of(user: str) -> str:
    """Return the home directory of a user, of the current user if `user` is empty; empty if it is unknown."""
    # HOME first, as in a shell; many services have none, and the user database is used then.
    if not user and Path(own := os.environ.get("HOME", "")).is_absolute():
        return own
    try:
        if os.name != "posix":
            return str(Path(f"~{user}").expanduser())
        import pwd

        return (pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid())).pw_dir
    except (KeyError, ValueError, RuntimeError):
        # A container may run under an id that the user database does not contain; a name with NUL raises ValueError.
        return ""


def read_regular_file(path: Path, max_bytes: int) -> bytes:
    """Read a regular file once and completely.

    A pipe without a writer or an endless device cannot block the caller: anything but a regular file is rejected before
    the first read. The limit applies to the bytes that are read, not to the size that the file system reports.

    Raises:
        InputMissingError: the file is missing, is a directory, or cannot be read.
        PermissionDeniedError: the user may not read the file.
        DataError: the path is a pipe, a socket or a device, or the file has more than `max_bytes` bytes.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError) as error:
        raise _read_error(path, error) from error
    try:
        # The open file is checked, not the path, which another process may have replaced.
        _refuse_irregular(path, os.fstat(descriptor).st_mode)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            # One byte more than allowed is enough to detect a file that is too large.
            content = _read_at_most(file, max_bytes + 1)
    except OSError as error:
        raise InputMissingError(f"cannot be read: {error.strerror}", where=str(path)) from error
    finally:
        os.close(descriptor)
    if len(content) > max_bytes:
        raise DataError(f"is larger than {max_bytes} bytes", where=str(path))
    return content


def _read_at_most(file: BinaryIO, n_bytes: int) -> bytes:
    """Read at most `n_bytes` bytes."""
    # Piece by piece: a single call would allocate `n_bytes` even for the smallest file.
    pieces: list[bytes] = []
    while n_bytes > 0 and (piece := file.read(min(n_bytes, _PIECE_BYTES))):
        n_bytes -= len(piece)
        pieces.append(piece)
    return b"".join(pieces)


def _read_error(path: Path, error: OSError | ValueError) -> InputMissingError | PermissionDeniedError:
    if isinstance(error, PermissionError):
        return PermissionDeniedError("permission denied", where=str(path), hint="check who may read it")
    if isinstance(error, FileNotFoundError):
        return InputMissingError("no such file", where=str(path))
    return InputMissingError(f"cannot be opened: {reason_of(error)}", where=str(path))


def reason_of(error: OSError | ValueError) -> str:
    """Return why a file could not be used, in words of the system; a path with a NUL raises ValueError."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _refuse_irregular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise InputMissingError("is a directory, not a file", where=str(path))
    if not stat.S_ISREG(mode):
        raise DataError("is not a regular file but a pipe, a socket or a device", where=str(path))


def check_replaceable(target: Path) -> None:
    """Raise an error if `replace_atomically` could not, or must not, write `target`.

    Raises:
        CannotCreateError: `target` exists and is not a regular file: a rename would replace a device or a link.
        OSError: the directory is missing or not writable.
    """
    if not os.access(target.parent, os.W_OK | os.X_OK):
        target.parent.stat()  # Raises if the directory is missing.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target.parent))
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(target.lstat().st_mode):
            raise CannotCreateError("there is something else that is not a regular file", where=str(target))


def replace_atomically(target: Path, content: bytes | Iterable[bytes], *, is_synced: bool = True) -> None:
    """Write `content` to `target` atomically: a temporary file in the same directory is renamed.

    Temporary files of processes that were killed are removed from the directory.

    Args:
        target: the file.
        content: all of it, or its parts.
        is_synced: whether the new file has to survive a loss of power, which takes some milliseconds.

    Raises:
        OSError: writing failed; the previous file is unchanged, as it is if the parts end with an exception.
    """
    _remove_abandoned(target.parent)
    temporary, descriptor = _create_beside(target)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            # Synced before the rename: after a loss of power, the new name could otherwise belong to an empty file.
            file.flush()
            if is_synced:
                os.fsync(file.fileno())
            if os.name == "posix":
                temporary.replace(target)  # While it is locked, so that nobody removes it as abandoned.
        if os.name != "posix":
            temporary.replace(target)  # Windows renames closed files only.
    except BaseException:
        # Also on Ctrl-C; a failure of the clean-up must not hide the first error.
        with suppress(OSError):
            temporary.unlink()
        raise
    if is_synced:
        _sync_directory(target.parent)


def _create_beside(target: Path) -> tuple[Path, int]:
    """Create a temporary file next to `target`, locked while it is open, so that it does not look abandoned."""
    while True:
        temporary = target.parent / f".{secrets.token_hex(8)}{target.suffix}.tmp"
        # The kernel applies the umask; reading the umask to apply it later would race with other threads.
        descriptor = os.open(temporary, _CREATE_FLAGS, 0o666)
        try:
            _lock_file(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            continue
        except OSError:
            return temporary, descriptor  # Without locks, nobody removes unlocked files either.
        # Another process may have removed it as abandoned before it was locked.
        if os.fstat(descriptor).st_nlink > 0:
            return temporary, descriptor
        os.close(descriptor)


def _remove_abandoned(directory: Path) -> None:
    """Remove temporary files of processes that no longer exist, which are those that are not locked."""
    if os.name != "posix":
        return
    for temporary in [Path(entry) for entry in os.scandir(directory) if _TEMPORARY.fullmatch(entry.name)]:
        # Another process may remove it at the same time, it may belong to another user, or locks are not available.
        with suppress(OSError):
            # O_NOFOLLOW: the target of a link is not a temporary file of this program.
            descriptor = os.open(temporary, _OPEN_FLAGS | os.O_NOFOLLOW)
            try:
                _lock_file(descriptor)
                temporary.unlink()
            finally:
                os.close(descriptor)


def _lock_file(descriptor: int) -> None:
    """Lock an open file until it is closed, also by the end of the process.

    Raises:
        BlockingIOError: another process holds the lock.
        OSError: locks are not available.
    """
    if os.name == "posix":
        import fcntl

        # Not lockf, whose locks belong to the process: another thread could take them too, and would release them by
        # closing its own descriptor of the file.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def rename_durably(source: Path, target: Path) -> None:
    """Rename `source` to `target` in the same directory, replacing `target`, and sync the directory.

    Raises:
        OSError: the rename failed; both files are unchanged.
    """
    source.replace(target)
    _sync_directory(target.parent)


def _sync_directory(directory: Path) -> None:
    """Make a rename survive a loss of power."""
    # Windows cannot open directories, and needs no sync for this.
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
