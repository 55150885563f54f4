"""UNIX socket at a path: protected by a lock file, private from the moment it exists, removed at the end."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from pathlib import Path

from streamgmm.errors import CannotCreateError, ConfigError, PermissionDeniedError, StreamgmmError
from streamgmm.files import MAX_SOCKET_PATH_BYTES
from streamgmm.sinks.socket.listeners import CLIENT_BACKLOG, bind_error, unix_peer

SOCKET_UMASK = 0o117
"""Umask while binding, which leaves 0660: owner and group may connect (connecting requires write permission)."""


MAX_LOCK_BYTES = 32
"""Longest lock file; a longer file is something else, and is not modified."""

_MOVE_IT = "move it away, or choose another path for the socket"
_KIND_NAMES = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

DIRECTORY_MODE = 0o750
"""Mode of a directory that is created for the socket: the group may enter it, others may not."""


class UnixListener:
    """A socket file that belongs to one process at a time.

    `PATH.lock` holds the lock and the pid of its owner. The lock file stays at the end: if it were removed, one process
    could hold the removed file and another create a new one, and both would seem to be alone.

    A missing directory is created if its parent exists: such a socket is often in a directory of its own that a restart
    of the machine has removed.

    Args:
        uri: `unix://PATH`.

    Raises:
        ConfigError: the URI contains no valid path, or the path is too long for a socket.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.address = uri
        self._path = Path(_parse_unix(uri))
        self._lock_fd: int | None = None
        self._identity: tuple[int, int] | None = None

    def open(self) -> socket.socket:
        """Lock, remove a stale socket of a crash, bind and listen.

        Raises:
            CannotCreateError: another process uses the path, it is not a socket, or its directory is missing.
            PermissionDeniedError: the user may not write there.
        """
        _make_directory(self._path.parent)
        # Before anything is created beside the file of someone else.
        _owned_socket(self._path)
        # Locked before anything is removed: two that start together would take each other's socket for stale.
        self._lock_fd = _take_lock(self._path)
        try:
            _remove_stale(self._path)
            server = _bind(self._path)
        except BaseException:
            self.close()
            raise
        self._identity = _identity(self._path)
        return server

    def peer_of(self, connection: socket.socket) -> str:
        """Return process and user of the client, for the log."""
        return unix_peer(connection)

    def is_in_place(self) -> bool:
        """Return whether the socket file is still the one that was created; the kernel does not report its removal."""
        return self._identity is not None and _identity(self._path) == self._identity

    def close(self) -> None:
        """Remove the socket file if it is still the one that was created, and unlock."""
        if self._lock_fd is None:
            return
        if self.is_in_place():
            self._path.unlink(missing_ok=True)
        # Unlocked last: until then, no other run can bind the path whose file is removed above.
        os.close(self._lock_fd)
        self._lock_fd = self._identity = None


def _parse_unix(uri: str) -> str:
    path = uri.removeprefix("unix://")
    if not Path(path).name or path.endswith("/") or not path.isprintable():
        raise ConfigError([f"output.sinks: {uri!r} is not of the form unix://PATH"])
    # In bytes, not characters, as the kernel counts.
    n_bytes = len(os.fsencode(path))
    if n_bytes > MAX_SOCKET_PATH_BYTES:
        problem = (
            f"output.sinks: {uri!r}: the path of a socket has at most {MAX_SOCKET_PATH_BYTES} bytes, this one {n_bytes}"
        )
        raise ConfigError([problem])
    return path


def _make_directory(directory: Path) -> None:
    """Create the directory if it is missing; errors are ignored here, as locking will report them."""
    try:
        directory.mkdir(0o700)
    except OSError:
        return
    # By chmod, because the umask may exclude the group from `mkdir`, which then could not reach the socket.
    directory.chmod(DIRECTORY_MODE)


def _take_lock(path: Path) -> int:
    lock_path = path.with_name(path.name + ".lock")
    _refuse_other_kinds(lock_path)
    try:
        # O_NONBLOCK: do not wait for the other end of a pipe that replaced the file since the check.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(lock_path, flags, 0o644)
    except OSError as error:
        raise _create_error(error, lock_path) from error
    try:
        _take(fd, path, lock_path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _refuse_other_kinds(lock_path: Path) -> None:
    """Reject anything but a regular file without opening it, as opening a device can have effects."""
    try:
        mode = lock_path.lstat().st_mode
    except OSError:
        return  # creating the file will report the reason, if there is one
    if not stat.S_ISREG(mode):
        kind = _KIND_NAMES.get(stat.S_IFMT(mode), "of another kind")
        raise CannotCreateError(f"is {kind}, not a lock file", where=str(lock_path), hint=_MOVE_IT)


def _take(fd: int, path: Path, lock_path: Path) -> None:
    """Lock the open file and write the pid into it."""
    try:
        # Read before the file is locked, so that a refusal can name the owner.
        content = os.pread(fd, MAX_LOCK_BYTES + 1, 0)
        # A power failure may leave zeros.
        owner = content.strip(b"\0\n ").decode("ascii", "replace")
        if len(content) > MAX_LOCK_BYTES or not (owner.isdigit() or not owner):
            raise CannotCreateError("holds something else than the lock", where=str(lock_path), hint=_MOVE_IT)
        # The kernel releases it with the process, also after SIGKILL.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as error:
        what = f"in use by process {owner or '(unknown)'}"
        raise CannotCreateError(what, where=str(path), hint="stop it, or choose another path") from error
    except OSError as error:
        raise _create_error(error, lock_path) from error


def _create_error(error: OSError, path: Path) -> StreamgmmError:
    reason = os.strerror(error.errno or 0)
    if isinstance(error, FileNotFoundError):
        return CannotCreateError("the directory does not exist", where=str(path.parent), hint="create it")
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"cannot create: {reason}", where=str(path))
    return CannotCreateError(f"cannot create: {reason}", where=str(path))


def _remove_stale(path: Path) -> None:
    """Remove a socket file that no process listens to; the caller must hold the lock."""
    if not _owned_socket(path):
        return
    # Other programs take no lock, but the kernel refuses a connection only if no process listens.
    if not _is_refused(path):
        raise CannotCreateError("another program listens there", where=str(path), hint="choose another path")
    path.unlink(missing_ok=True)


def _owned_socket(path: Path) -> bool:
    """Return whether there is a socket of this user; False if there is nothing that can be seen.

    Raises:
        CannotCreateError: there is something else.
    """
    try:
        status = path.lstat()
    except OSError:
        return False
    if not stat.S_ISSOCK(status.st_mode):
        raise CannotCreateError("exists and is not a socket", where=str(path), hint="move it away")
    if status.st_uid != os.geteuid():
        raise CannotCreateError(
            f"is a socket of another user (uid {status.st_uid})", where=str(path), hint="remove it, or ask its owner"
        )
    return True


def _is_refused(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A live listener with a full backlog would block the probe; a non-blocking connect gives EAGAIN.
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _bind(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # By the umask, so that bind itself sets the mode: before a later chmod, others could connect for a moment.
    umask = os.umask(SOCKET_UMASK)
    try:
        server.bind(str(path))
        server.listen(CLIENT_BACKLOG)
    except OSError as error:
        server.close()
        raise bind_error(error, str(path)) from error
    finally:
        os.umask(umask)
    return server


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
