"""Request the status of a running daemon, which is part of the greeting of each of its sockets."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from streamgmm.errors import NotRunningError, PermissionDeniedError, TemporaryError, UsageError
from streamgmm.records import AnyRecord, Error, Hello, Status, decode_json
from streamgmm.sinks.socket.door import TOKEN_WANTED
from streamgmm.sinks.socket.lobby import STATUS_REQUEST
from streamgmm.sinks.socket.token import Token

MAX_GREETING_BYTES = 1024 * 1024


class SourceStatus(NamedTuple):
    """The `hello` of one source, and its current status."""

    hello: Hello
    status: Status


def ask_status(uri: str, timeout_s: float, token: Token | None = None) -> list[SourceStatus]:
    """Return the current status of every source of the daemon that listens at `uri`, in the order of their hellos.

    Args:
        uri: `unix://PATH` or `tcp://HOST:PORT`.
        timeout_s: longest time for the answer (s).
        token: sent first to a TCP address; None sends none.

    Raises:
        UsageError: `uri` is not such an address.
        PermissionDeniedError: this user may not open the socket.
        NotRunningError: nothing listens there, or the answer is not that of a daemon.
        TemporaryError: the daemon refuses: too many subscribers, or a wrong token.
    """
    deadline_s = time.monotonic() + timeout_s
    try:
        with _connect_to_daemon(uri, timeout_s) as connection:
            # A UNIX socket is protected by its permissions, and requires no token.
            sent = token.to_line() if token is not None and not uri.startswith("unix://") else b""
            with suppress(BrokenPipeError):  # the daemon may have answered and closed already
                connection.sendall(sent + STATUS_REQUEST)
            lines = _read_lines(connection, deadline_s)
            return _read_greeting(lines, uri, has_sent_token=bool(sent))
    except PermissionError as error:
        hint = "use sudo, or become a member of its group"
        raise PermissionDeniedError("this user may not open the socket", where=uri, hint=hint) from error
    except OSError as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else os.strerror(error.errno or 0)
        raise NotRunningError(f"no daemon answers: {reason}", where=uri, hint="is `streamgmm run` running?") from error


def _connect_to_daemon(uri: str, timeout_s: float) -> socket.socket:
    if uri.startswith("unix://") and len(uri) > len("unix://"):
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(timeout_s)
            connection.connect(uri.removeprefix("unix://"))
        except OSError:
            connection.close()
            raise
        return connection
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not uri.startswith("tcp://") or not host or not port:
        raise UsageError("is not a socket of a daemon", where=uri, hint="use unix://PATH or tcp://HOST:PORT")
    return socket.create_connection((host, port), timeout_s)


def _read_lines(connection: socket.socket, deadline_s: float) -> Iterator[bytes]:
    """Yield received lines until the peer closes, each of at most `MAX_GREETING_BYTES`.

    Raises:
        OSError: the connection failed, or `deadline_s` (monotonic time) has passed.
    """
    received = b""
    while len(received) < MAX_GREETING_BYTES:
        # Never 0, which would make the socket non-blocking and hide that the time is over.
        connection.settimeout(max(0.001, deadline_s - time.monotonic()))
        if not (part := connection.recv(65536)):
            return
        # The last part is not terminated yet, and stays for the next turn.
        *lines, received = (received + part).split(b"\n")
        yield from lines


def _read_greeting(lines: Iterator[bytes], uri: str, *, has_sent_token: bool) -> list[SourceStatus]:
    hellos: dict[str, Hello] = {}
    statuses: dict[str, Status] = {}
    for record in map(_decode_line, lines):
        match record:
            case Hello():
                hellos[record.source] = record
            case Status() if record.source in hellos:
                statuses[record.source] = record
            # Distinguished from other errors: the remedy is a setting of the client, and waiting does not help.
            case Error(message=message) if message == TOKEN_WANTED and not has_sent_token:
                hint = "name the file that holds it as output.token_file"
                raise NotRunningError(f"no daemon answers without a token: {message}", where=uri, hint=hint)
            case Error():
                raise TemporaryError(record.message, where=uri)
            case None:
                raise NotRunningError("what answers is not a daemon of this kind", where=uri)
        # Each hello names all sources, so the first status of several does not end the reading.
        if _sources_of(hellos) <= statuses.keys() and hellos:
            return [SourceStatus(hello, statuses[name]) for name, hello in hellos.items()]
    raise NotRunningError("the connection ended before the status came", where=uri)


def _sources_of(hellos: dict[str, Hello]) -> set[str]:
    """Return the names of all sources of the daemon, as far as its hellos name them."""
    return {name for own, hello in hellos.items() for name in (own, *hello.sources)}


def _decode_line(line: bytes) -> AnyRecord | None:
    try:
        return decode_json(line)
    except msgspec.DecodeError:
        return None
