"""Listeners for subscribers: the protocol of all listeners, and the one for TCP."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from typing import Protocol
from urllib.parse import urlsplit

from streamgmm.errors import CannotCreateError, ConfigError, PermissionDeniedError, StreamgmmError

CLIENT_BACKLOG = 128
"""Most connections that the kernel holds until they are accepted."""


TCP_OPTIONS = {
    "TCP_NODELAY": 1,
    "TCP_KEEPIDLE": 30,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 20_000,
}
"""Socket options of TCP (tcp(7)); TCP_USER_TIMEOUT in milliseconds, the others in seconds. Lines are sent at once. A
peer that vanished is detected after 30 + 3 x 10 s without traffic, or after 20 s without acknowledging sent data."""


class Listener(Protocol):
    """An address where clients can connect.

    Attributes:
        uri: URI as configured.
        address: actual address once open, e.g. with the port that the system chose.
    """

    uri: str
    address: str

    def open(self) -> socket.socket:
        """Listen at the address; this may change the umask of the whole process for a moment.

        Raises:
            CannotCreateError: the address is in use or does not exist.
            PermissionDeniedError: the user may not listen there.
        """

    def peer_of(self, connection: socket.socket) -> str:
        """Return a description of the client, for the log.

        Raises:
            OSError: the client has disconnected already.
        """

    def is_in_place(self) -> bool:
        """Return whether clients can still reach the address; if not, `close` and `open` restore it."""

    def close(self) -> None:
        """Release the address; the caller of `open` closes the socket itself."""


class TcpListener:
    """A TCP port, on this machine only by default, as anybody who can connect may subscribe.

    Args:
        uri: `SCHEME://HOST:PORT`; HOST is `localhost` or an address, PORT 0 lets the system choose.
        allow_remote: whether other machines may reach the address.

    Raises:
        ConfigError: the URI is not of that form, or other machines can reach the address without `allow_remote`.
    """

    def __init__(self, uri: str, *, allow_remote: bool = False) -> None:
        self.uri = uri
        self.address = uri
        self._host, self._port = _parse_tcp(uri, allow_remote)

    @property
    def is_loopback(self) -> bool:
        """Return whether only this machine can reach the address."""
        address = _address_of(self._host)
        return address is not None and address.is_loopback

    def open(self) -> socket.socket:
        """Bind and listen.

        Raises:
            CannotCreateError: the port is in use.
            PermissionDeniedError: the port is reserved for root.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            # Sets SO_REUSEADDR too, so that a restart need not wait for old connections in TIME_WAIT.
            server = socket.create_server((self._host, self._port), family=family, backlog=CLIENT_BACKLOG)
        except OSError as error:
            raise bind_error(error, self.uri) from error
        _set_options(server)
        port = server.getsockname()[1]
        host = f"[{self._host}]" if family == socket.AF_INET6 else self._host
        self.address = f"{self.uri.partition(':')[0]}://{host}:{port}"
        return server

    def peer_of(self, connection: socket.socket) -> str:
        """Return address and port of the client, for the log."""
        host, port = connection.getpeername()[:2]
        return f"{host}:{port}"

    def is_in_place(self) -> bool:
        """Return True: no other process can take over an open port."""
        return True

    def close(self) -> None:
        """Do nothing: a closed port leaves nothing behind."""


def unix_peer(connection: socket.socket) -> str:
    """Return process and user at the other end of a UNIX socket.

    Raises:
        OSError: the client has disconnected already.
    """
    pid, uid = _credentials(connection)
    return f"pid:{pid},uid:{uid}"


def may_control(connection: socket.socket) -> bool:
    """Return whether the client is the user of this process or root, on a UNIX socket.

    The group of the socket may read all records, but not silence the daemon; no other kind of socket tells who it is.
    """
    try:
        return connection.family == socket.AF_UNIX and _credentials(connection)[1] in (0, os.geteuid())
    except OSError:
        return False


def _credentials(connection: socket.socket) -> tuple[int, int]:
    """Return process and user at the other end, as the kernel reports them (SO_PEERCRED, unix(7))."""
    # A `struct ucred`: pid, uid and gid.
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _gid = struct.unpack("3i", credentials)
    return pid, uid


def bind_error(error: OSError, where: str) -> StreamgmmError:
    """Return the error to report if a listener cannot be opened at `where`."""
    reason = os.strerror(error.errno or 0)
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"cannot listen: {reason}", where=where)
    hint = "another program listens there: stop it or choose another port" if error.errno == errno.EADDRINUSE else ""
    return CannotCreateError(f"cannot listen: {reason} (errno {error.errno})", where=where, hint=hint)


def _set_options(server: socket.socket) -> None:
    # Accepted connections inherit these options. Not every system has all of them.
    server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in TCP_OPTIONS.items():
        if hasattr(socket, name):
            server.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _parse_tcp(uri: str, allow_remote: bool) -> tuple[str, int]:
    scheme = uri.partition(":")[0]
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    # Compared with its own parts, which excludes users, paths, queries and leading zeros.
    if host is None or port is None or uri.lower() not in (f"{scheme}://{host}:{port}", f"{scheme}://[{host}]:{port}"):
        raise ConfigError([f"output.sinks: {uri!r} is not of the form {scheme}://HOST:PORT"])
    # Not resolved by DNS: a name server must not decide where this machine listens.
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
