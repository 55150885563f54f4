"""Where subscribers come in: what every listener is, and the one for TCP."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from typing import Protocol
from urllib.parse import urlsplit

from streamgmm.errors import CannotCreateError, ConfigError, PermissionDeniedError, StreamgmmError

BACKLOG = 128
"""Connections that the system holds until they are accepted."""


TCP_OPTIONS = {
    "TCP_NODELAY": 1,
    "TCP_KEEPIDLE": 30,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 20_000,
}
"""A line leaves at once; a peer that vanished without a word is noticed after 30 + 3 x 10 s idle, or when
it has acknowledged nothing for 20 s (the last in milliseconds, all others in seconds; tcp(7))."""


class Listener(Protocol):
    """A place where clients can connect.

    Attributes:
        uri: as configured.
        address: as it really is once open, e.g. with the port that the system chose.
    """

    uri: str
    address: str

    def open(self) -> socket.socket:
        """Claim the place; for a moment it may narrow the umask of the whole process.

        Raises:
            CannotCreateError: the place is taken or does not exist.
            PermissionDeniedError: the user may not have it.
        """

    def peer_of(self, connection: socket.socket) -> str:
        """Who connected, for the log.

        Raises:
            OSError: the client has gone already.
        """

    def is_in_place(self) -> bool:
        """Whether clients that look for it still find it; if not, `close` and `open` claim the place anew."""

    def close(self) -> None:
        """Give the place back; the socket itself is closed by whoever opened it."""


class TcpListener:
    """A port, on this machine only unless told otherwise: anybody who can connect may listen.

    Args:
        uri: `tcp://HOST:PORT`; HOST is `localhost` or an address, PORT 0 lets the system choose.
        allow_remote: whether the address may be one that other machines can reach.

    Raises:
        ConfigError: the URI is not of that form, or the address is not a loopback address and should be.
    """

    def __init__(self, uri: str, *, allow_remote: bool = False) -> None:
        self.uri = uri
        self.address = uri
        self._host, self._port = _parse(uri, allow_remote)

    def open(self) -> socket.socket:
        """Bind and listen.

        Raises:
            CannotCreateError: the port is in use.
            PermissionDeniedError: the port is one of root's.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            server = socket.create_server((self._host, self._port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise bind_error(error, self.uri) from error
        _set_options(server)
        port = server.getsockname()[1]
        self.address = f"tcp://[{self._host}]:{port}" if family == socket.AF_INET6 else f"tcp://{self._host}:{port}"
        return server

    def peer_of(self, connection: socket.socket) -> str:
        """Address and port of the client."""
        host, port = connection.getpeername()[:2]
        return f"{host}:{port}"

    def is_in_place(self) -> bool:
        """Always: nobody can take a port away."""
        return True

    def close(self) -> None:
        """Nothing is left behind."""


def unix_peer(connection: socket.socket) -> str:
    """Process and user at the other end of a UNIX socket, as the kernel knows them (SO_PEERCRED, unix(7)).

    Raises:
        OSError: the client has gone already.
    """
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _gid = struct.unpack("3i", credentials)
    return f"pid:{pid},uid:{uid}"


def bind_error(error: OSError, where: str) -> StreamgmmError:
    """What to tell the user when a place could not be claimed."""
    reason = os.strerror(error.errno or 0)
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"cannot listen: {reason}", where=where)
    hint = "another program listens there: stop it or choose another port" if error.errno == errno.EADDRINUSE else ""
    return CannotCreateError(f"cannot listen: {reason} (errno {error.errno})", where=where, hint=hint)


def _set_options(server: socket.socket) -> None:
    # Accepted connections inherit them. Not every system has all of them.
    server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in TCP_OPTIONS.items():
        if hasattr(socket, name):
            server.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _parse(uri: str, allow_remote: bool) -> tuple[str, int]:
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or port is None or uri.lower() not in (f"tcp://{host}:{port}", f"tcp://[{host}]:{port}"):
        raise ConfigError([f"output.sinks: {uri!r} is not of the form tcp://HOST:PORT"])
    # Not looked up: a name server must not decide where this machine listens.
    host = "127.0.0.1" if host == "localhost" else host
    address = _address_of(host)
    if address is None or not (allow_remote or address.is_loopback):
        problem = (
            f"output.sinks: {uri!r} can be reached from outside; only 127.0.0.1, ::1 and localhost are allowed, "
            "or any address with output.allow_remote and output.token_file"
        )
        raise ConfigError([problem])
    return host, port


def _address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
