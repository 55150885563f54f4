"""Files that someone else named: only regular ones are read, and only whole ones are ever left behind."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal

from streamgmm.errors import CannotCreateError, DataError, InputMissingError, PermissionDeniedError

_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}(\..*)?\.tmp", re.DOTALL)
_PIECE_BYTES = 2**20
_TILDE = re.compile(r"(?P<scheme>(?:file|unix):(?://)?)?~(?P<user>[^/]*)")
_KINDS: dict[int, PathKind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFSOCK: "socket",
}
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


PathKind = Literal["nothing", "file", "folder", "link", "socket", "other"]
"""What can be at a path; `other` is a pipe or a device."""


def path_status(path: Path, *, follow_symlinks: bool = True) -> os.stat_result | None:
    """Return the status of what is at `path`, None if nothing is there; a link that leads nowhere is nothing.

    The predicates of `pathlib` (`exists`, `is_file`, ...) raise OSError for most failures and hide some others;
    here each failure is an error that a user can understand.

    Raises:
        PermissionDeniedError: a folder on the way may not be entered.
        InputMissingError: it cannot be looked at: the name is too long, links lead in a circle, the disk fails.
    """
    try:
        return path.stat(follow_symlinks=follow_symlinks)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _open_error(path, error) from error


def path_kind(path: Path, *, follow_symlinks: bool = True) -> PathKind:
    """Return what is at `path`; a link is what it leads to, unless it is not followed. Errors as for `path_status`."""
    status = path_status(path, follow_symlinks=follow_symlinks)
    return "nothing" if status is None else _KINDS.get(stat.S_IFMT(status.st_mode), "other")


def expand_home(place: str) -> str:
    """Return a path, or a URI with one, in which a leading `~` or `~user` is the home directory, as in a shell.

    A file that is itself called `~name` is left alone if there is no such user.

    Raises:
        InputMissingError: the user or the home directory is not known.
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
    """The home directory of a user, of this one if there is no name; empty if it is not known."""
    if not user and Path(own := os.environ.get("HOME", "")).is_absolute():
        return own
    try:
        if os.name != "posix":
            return str(Path(f"~{user}").expanduser())
        import pwd

        return (pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid())).pw_dir
    except (KeyError, ValueError, RuntimeError):
        return ""


def read_regular_file(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file, read once.

    Neither a pipe that nobody writes to nor a device without end can hold the caller up: what is not a
    regular file is refused before the first read, and one that claims a small size is not believed.

    Raises:
        InputMissingError: the file is missing, is a directory or cannot be read.
        PermissionDeniedError: the user may not read it.
        DataError: it is a pipe, a socket or a device, or holds more than `max_bytes`.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError) as error:
        raise _open_error(path, error) from error
    try:
        _refuse_irregular(path, os.fstat(descriptor).st_mode)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = _read_at_most(file, max_bytes + 1)
    except OSError as error:
        raise InputMissingError(f"cannot be read: {error.strerror}", where=str(path)) from error
    finally:
        os.close(descriptor)
    if len(content) > max_bytes:
        raise DataError(f"is larger than {max_bytes} bytes", where=str(path))
    return content


def _read_at_most(file: BinaryIO, n_bytes: int) -> bytes:
    """Read piece by piece: a single call would allocate all that is allowed for the smallest file."""
    pieces: list[bytes] = []
    while n_bytes > 0 and (piece := file.read(min(n_bytes, _PIECE_BYTES))):
        n_bytes -= len(piece)
        pieces.append(piece)
    return b"".join(pieces)


def _open_error(path: Path, error: OSError | ValueError) -> InputMissingError | PermissionDeniedError:
    if isinstance(error, PermissionError):
        return PermissionDeniedError("permission denied", where=str(path), hint="check who may read it")
    if isinstance(error, FileNotFoundError):
        return InputMissingError("no such file", where=str(path))
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return InputMissingError(f"cannot be opened: {reason}", where=str(path))


def _refuse_irregular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise InputMissingError("is a directory, not a file", where=str(path))
    if not stat.S_ISREG(mode):
        raise DataError("is not a regular file but a pipe, a socket or a device", where=str(path))


def check_replaceable(target: Path) -> None:
    """Refuse a place where `replace_atomically` could not write, or must not.

    Raises:
        CannotCreateError: `target` is there and is not a regular file: a rename would replace a device or a link.
        OSError: its directory is missing or may not be written.
    """
    if not os.access(target.parent, os.W_OK | os.X_OK):
        target.parent.stat()  # a missing directory says so itself
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target.parent))
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(target.lstat().st_mode):
            raise CannotCreateError("there is something else that is not a regular file", where=str(target))


def replace_atomically(target: Path, content: bytes) -> None:
    """Put `content` in the place of `target`, by a file beside it and a rename: old or new, but whole.

    What a process that was killed left half written in the directory is removed.

    Raises:
        OSError: it could not be written; what was there before is untouched.
    """
    _remove_abandoned(target.parent)
    temporary, descriptor = _create_beside(target)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if os.name == "posix":
                temporary.replace(target)  # while it is locked
        if os.name != "posix":
            temporary.replace(target)  # here only once it is closed
    except BaseException:
        # Ctrl-C too; and a failure to clean up must not hide the first one.
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_directory(target.parent)


def _create_beside(target: Path) -> tuple[Path, int]:
    """A new file to be renamed to `target`, locked as long as it is open, so that nobody takes it for abandoned."""
    while True:
        temporary = target.parent / f".{secrets.token_hex(8)}{target.suffix}.tmp"
        # The kernel takes the umask off; asking for the umask to do that later would race other threads.
        descriptor = os.open(temporary, _CREATE_FLAGS, 0o666)
        try:
            _lock(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            continue
        except OSError:
            return temporary, descriptor  # no locks here, and so nobody who removes what is not locked
        # Somebody may have removed it before it was locked.
        if os.fstat(descriptor).st_nlink > 0:
            return temporary, descriptor
        os.close(descriptor)


def _remove_abandoned(directory: Path) -> None:
    """Remove the temporary files of processes that are no more: those that nobody has locked."""
    if os.name != "posix":
        return
    for temporary in [Path(entry) for entry in os.scandir(directory) if _TEMPORARY.fullmatch(entry.name)]:
        # Another process may be at it too, it may be another user's, or there are no locks here.
        with suppress(OSError):
            descriptor = os.open(temporary, _OPEN_FLAGS | os.O_NOFOLLOW)
            try:
                _lock(descriptor)
                temporary.unlink()
            finally:
                os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock an open file until it is closed, by whatever end of the process.

    Raises:
        BlockingIOError: another one has locked it.
        OSError: there are no locks here.
    """
    if os.name == "posix":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def rename_durably(source: Path, target: Path) -> None:
    """Give `source` the name `target`, in the same directory, in the place of what was called so.

    Raises:
        OSError: it could not be renamed; both are as they were.
    """
    source.replace(target)
    _sync_directory(target.parent)


def _sync_directory(directory: Path) -> None:
    """Make the rename last through a loss of power; Windows cannot open directories and does it itself."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
