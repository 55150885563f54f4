"""Socket server for programs on this machine that send samples, one at a time.

The socket stays open when a source that reads from it is closed: until the next source is open, writers wait in the
backlog instead of being refused.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from streamgmm.errors import CannotCreateError, DeviceError, PermissionDeniedError, StreamgmmError, UsageError
from streamgmm.files import MAX_SOCKET_PATH_BYTES, expand_home

logger = logging.getLogger("streamgmm.capture")

BACKLOG = 16
MAX_TURNED_AWAY = 16
"""Largest number of writers that one call of `turn_away` handles."""

LOG_INTERVAL_S = 10.0
SOCKET_MODE = 0o660
"""File mode that lets the owner and the group connect, for which write permission is required."""

BUSY_LINE = b"busy: another program is sending\n"


class Address(Protocol):
    """Address at which to listen."""

    def bind(self) -> socket.socket:
        """Return a socket that listens at the address.

        Raises:
            OSError: the address is not available.
        """

    def is_in_place(self) -> bool:
        """Return whether a writer can still find the socket."""

    def release(self) -> None:
        """Remove what the socket left behind; the caller closes the socket itself."""


class TcpAddress:
    """TCP port of a loopback address.

    Args:
        host: `localhost` or a loopback address, without brackets.
        port: port number; 0 lets the system choose.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    def bind(self) -> socket.socket:
        """Return a socket that listens at the port."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        return socket.create_server((self._host, self._port), family=family, backlog=BACKLOG)

    def is_in_place(self) -> bool:
        """Return True, because a listening port cannot be removed."""
        return True

    def release(self) -> None:
        """Do nothing, because a port leaves nothing behind."""


class UnixAddress:
    """Path of a Unix socket; the file of a dead server is replaced, one in use or of another type is not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None

    def bind(self) -> socket.socket:
        """Return a socket that listens at the path."""
        self._remove_stale()
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.bind(str(self._path))
            # Set the mode before `listen`: until then, no program can connect.
            self._path.chmod(SOCKET_MODE)
            server.listen(BACKLOG)
        except BaseException:
            server.close()
            raise
        # Device and inode: another program may put its own file at the path later, which must stay.
        self._identity = self._look()
        return server

    def is_in_place(self) -> bool:
        """Return whether the file at the path is still the socket that `bind` made."""
        return self._identity is not None and self._look() == self._identity

    def release(self) -> None:
        """Remove the socket file if it is still the one that `bind` made."""
        if self.is_in_place():
            self._path.unlink(missing_ok=True)
        self._identity = None

    def _look(self) -> tuple[int, int] | None:
        try:
            status = self._path.lstat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _remove_stale(self) -> None:
        with suppress(FileNotFoundError):
            # `lstat`, so that a link at the path counts as a file of another type.
            if not stat.S_ISSOCK(self._path.lstat().st_mode):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            # A socket file outlives a killed server; a refused connection is the proof that nobody listens.
            if self._is_refused():
                self._path.unlink(missing_ok=True)

    def _is_refused(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            # A server with a full backlog would block the probe; a non-blocking probe fails with EAGAIN.
            probe.setblocking(False)
            try:
                probe.connect(str(self._path))
            except ConnectionRefusedError:
                return True
            except OSError:
                return False
        return False


class PcmServer:
    """Accept connections of programs that send samples; the plan of a source keeps it and closes it at the end.

    Args:
        name: URI of the source, for messages.
        address: address at which to listen.
    """

    def __init__(self, name: str, address: Address) -> None:
        self.name = name
        self._address = address
        # Never held for long, because the socket does not block.
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_closed = self._has_listened = False
        # Used only by the thread that reads samples, and so without the lock.
        self._n_turned_away = 0
        self._logged_s: float | None = None

    def listen(self) -> socket.socket | None:
        """Return the listening socket, opening it if necessary; None once closed.

        The socket is non-blocking.

        Raises:
            CannotCreateError: the address is in use, or its folder is missing.
            PermissionDeniedError: the user is not permitted to listen there.
            DeviceError: the socket file was removed and cannot be created again.
        """
        with self._lock:
            if self._is_closed:
                return None
            if self._socket is not None and not self._address.is_in_place():
                logger.warning("capture.socket_removed address=%s: listening again", self.name)
                self._release()
            if self._socket is None:
                self._socket = self._bind()
            return self._socket

    def accept(self) -> socket.socket | None:
        """Accept the next writer and return its connection, non-blocking; None if no writer waits."""
        # The writer may have disconnected, or no descriptor may be free: the next call tries again.
        with self._lock, suppress(OSError):
            if self._socket is not None:
                connection, _ = self._socket.accept()
                connection.setblocking(False)
                return connection
        return None

    def _bind(self) -> socket.socket:
        try:
            server = self._address.bind()
        except OSError as error:
            if self._has_listened:
                # The address worked before, so the failure is temporary and retried; the first one is a wrong setting.
                raise DeviceError(f"cannot listen: {error.strerror}", where=self.name) from error
            raise _bind_error(error, self.name) from error
        server.setblocking(False)
        self._has_listened = True
        logger.info("capture.listening address=%s", self.name)
        return server

    def turn_away(self) -> None:
        """Reject the writers that wait, because another one is sending; each of them gets one line."""
        for _ in range(MAX_TURNED_AWAY):
            connection = self.accept()
            if connection is None:
                break
            self._n_turned_away += 1
            dismiss(connection, BUSY_LINE)
        now_s = time.monotonic()
        if self._n_turned_away and (self._logged_s is None or now_s - self._logged_s >= LOG_INTERVAL_S):
            logger.warning("capture.turned_away address=%s writers=%d", self.name, self._n_turned_away)
            self._n_turned_away, self._logged_s = 0, now_s

    def close(self) -> None:
        """Stop listening, and remove the socket file; may be called from any thread and more than once."""
        with self._lock:
            self._is_closed = True
            self._release()

    def _release(self) -> None:
        if self._socket is not None:
            self._address.release()
            self._socket.close()
            self._socket = None


def dismiss(connection: socket.socket, line: bytes) -> None:
    """Send one line to a writer and close its connection, without waiting."""
    with connection, suppress(OSError):
        connection.send(line)
        connection.shutdown(socket.SHUT_WR)
        # Unread data at `close` would reset the connection, and the line might be lost.
        connection.recv(2**16)


def parse_tcp(rest: str, uri: str) -> TcpAddress | None:
    """Return the address of `//HOST:PORT`; None if `rest` is not of that form.

    Raises:
        UsageError: the address is not a loopback address.
    """
    # `isdigit` alone accepts digits such as superscripts, which `int` rejects.
    host, colon, port = rest.removeprefix("//").rpartition(":")
    if not rest.startswith("//") or not colon or not (port.isascii() and port.isdigit() and int(port) < 2**16):
        return None
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not _is_loopback(host):
        hint = "use 127.0.0.1, or [::1]"
        raise UsageError("listens for programs on this machine only", where=uri, hint=hint)
    # `localhost` may also be ::1: the address must not depend on the resolver.
    return TcpAddress("127.0.0.1" if host == "localhost" else host, int(port))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_unix(rest: str, uri: str) -> UnixAddress | None:
    """Return the address of `//PATH`; None if `rest` is not of that form.

    Raises:
        UsageError: the path is too long for a socket.
        InputMissingError: the path begins with an unknown home directory.
    """
    path = Path(expand_home(rest.removeprefix("//")))
    if not rest.startswith("//") or not path.name or rest.endswith("/") or not rest.isprintable():
        return None
    n_bytes = len(os.fsencode(path))
    if n_bytes > MAX_SOCKET_PATH_BYTES:
        raise UsageError(
            f"the path of a socket has at most {MAX_SOCKET_PATH_BYTES} bytes, this one {n_bytes}", where=uri
        )
    return UnixAddress(path)


def _bind_error(error: OSError, where: str) -> StreamgmmError:
    # By the number, because `create_server` adds the address to the text of the error.
    reason = os.strerror(error.errno or 0)
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"cannot listen: {reason}", where=where)
    is_used = error.errno in (errno.EADDRINUSE, errno.EEXIST)
    hint = "something else is there: stop or remove it, or choose another place" if is_used else ""
    return CannotCreateError(f"cannot listen: {reason} (errno {error.errno})", where=where, hint=hint)
