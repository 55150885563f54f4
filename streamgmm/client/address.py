"""Addresses of the sockets of a daemon, and connections to them."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

from streamgmm.errors import NotRunningError, PermissionDeniedError, StreamgmmError, UsageError

KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Socket options of TCP (tcp(7)), in seconds but for the count: a machine that vanished is noticed after a minute,
however quiet its room is."""


class Address(NamedTuple):
    """Where a daemon serves its records.

    Attributes:
        uri: the address as given.
        path: path of the UNIX socket; empty for TCP.
        host: name or address of the machine; empty for a UNIX socket.
        port: TCP port; 0 for a UNIX socket.
    """

    uri: str
    path: str = ""
    host: str = ""
    port: int = 0


def parse_address(uri: str) -> Address:
    """Parse `unix://PATH` or `tcp://HOST:PORT`.

    Raises:
        UsageError: `uri` is neither.
    """
    if path := uri.removeprefix("unix://") if uri.startswith("unix://") else "":
        return Address(uri, path=path)
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
        check_host(host or "")
    except ValueError:
        host, port = None, None
    if not uri.startswith("tcp://") or not host or not port:
        raise UsageError("is not a socket of a daemon", where=uri, hint="use unix://PATH or tcp://HOST:PORT")
    return Address(uri, host=host, port=port)


def check_host(host: str) -> None:
    """Check that name resolution can encode `host`, which it would otherwise refuse with an error that is no OSError.

    Raises:
        ValueError: a label is empty or longer than 63 characters, or there is a null character.
    """
    host.encode("idna")
    if "\0" in host:
        raise ValueError("null character in a host name")


def connect_socket(address: Address, timeout_s: float) -> socket.socket:
    """Return a socket that is connected to `address` within `timeout_s` seconds, which stay its timeout.

    Raises:
        OSError: nothing listens there, or this user may not open it.
    """
    if not address.path:
        connection = socket.create_connection((address.host, address.port), timeout_s)
        keep_alive(connection)
        return connection
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout_s)
        connection.connect(address.path)
    except BaseException:
        connection.close()
        raise
    return connection


def keep_alive(connection: socket.socket) -> None:
    """Let the kernel probe the peer of a TCP connection, as a subscriber sends nothing that would fail."""
    # Not every system has these options, and the connection may be closed by now.
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def connection_error(error: OSError, uri: str) -> StreamgmmError:
    """Return the error to report if `uri` cannot be connected to, or the connection failed."""
    if isinstance(error, PermissionError):
        hint = "use sudo, or become a member of its group"
        return PermissionDeniedError("this user may not open the socket", where=uri, hint=hint)
    # Some errors have a text but no number, and the numbers of name resolution are not those of `errno`.
    has_number = error.errno is not None and not isinstance(error, socket.gaierror)
    reason = os.strerror(error.errno or 0) if has_number else error.strerror or str(error)
    reason = "no answer in time" if isinstance(error, TimeoutError) else reason
    return NotRunningError(f"no daemon answers: {reason}", where=uri, hint="is `streamgmm run` running?")
