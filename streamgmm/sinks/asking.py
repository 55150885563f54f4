"""Asking a daemon how it stands: whoever connects to one of its sockets is greeted with that."""

from __future__ import annotations

import os
import socket
import time
from urllib.parse import urlsplit

import msgspec

from streamgmm.errors import NotRunningError, TemporaryError, UsageError
from streamgmm.records import AnyRecord, Error, Hello, Status, decode_json
from streamgmm.sinks.token import Token

MAX_GREETING_BYTES = 1024 * 1024


def ask_status(uri: str, timeout_s: float, token: Token | None = None) -> tuple[Hello, Status]:
    """What the daemon that listens at `uri` says of itself at this moment.

    Args:
        uri: `unix://PATH` or `tcp://HOST:PORT`.
        timeout_s: how long it may take to answer.
        token: said first at an address of TCP, if there is one.

    Raises:
        UsageError: `uri` is no such address.
        NotRunningError: nobody listens there, or it does not answer as a daemon does.
        TemporaryError: it turns us away: too many subscribers, or another token is wanted.
    """
    deadline_s = time.monotonic() + timeout_s
    try:
        with _connect(uri, timeout_s) as connection:
            if token is not None and not uri.startswith("unix://"):
                connection.sendall(token.to_line())
            return _read_greeting(connection, deadline_s, uri)
    except OSError as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else os.strerror(error.errno or 0)
        raise NotRunningError(f"no daemon answers: {reason}", where=uri, hint="is `streamgmm run` running?") from error


def _connect(uri: str, timeout_s: float) -> socket.socket:
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


def _read_greeting(connection: socket.socket, deadline_s: float, uri: str) -> tuple[Hello, Status]:
    hello: Hello | None = None
    received = b""
    while len(received) < MAX_GREETING_BYTES:
        connection.settimeout(max(0.001, deadline_s - time.monotonic()))
        if not (part := connection.recv(65536)):
            break
        *lines, received = (received + part).split(b"\n")
        for record in map(_decode, lines):
            match record:
                case Hello():
                    hello = record
                case Status() if hello is not None:
                    return hello, record
                case Error():
                    raise TemporaryError(record.message, where=uri)
                case None:
                    raise NotRunningError("what answers is no daemon of this kind", where=uri)
    raise NotRunningError("it left before it said how it stands", where=uri)


def _decode(line: bytes) -> AnyRecord | None:
    try:
        return decode_json(line)
    except msgspec.DecodeError:
        return None
