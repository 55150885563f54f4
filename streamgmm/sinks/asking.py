"""Asking a daemon how it stands: whoever connects to one of its sockets is greeted with that."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from urllib.parse import urlsplit

import msgspec

from streamgmm.errors import NotRunningError, PermissionDeniedError, TemporaryError, UsageError
from streamgmm.records import AnyRecord, Error, Hello, Status, decode_json
from streamgmm.sinks.door import TOKEN_WANTED
from streamgmm.sinks.lobby import STATUS_REQUEST
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
        PermissionDeniedError: this user may not open the socket.
        NotRunningError: nobody listens there, or it does not answer as a daemon does.
        TemporaryError: it turns us away: too many subscribers, or another token is wanted.
    """
    deadline_s = time.monotonic() + timeout_s
    try:
        with _connect(uri, timeout_s) as connection:
            said = token.to_line() if token is not None and not uri.startswith("unix://") else b""
            with suppress(BrokenPipeError):  # it may have answered and gone already
                connection.sendall(said + STATUS_REQUEST)
            return _read_greeting(connection, deadline_s, uri, has_said_token=bool(said))
    except PermissionError as error:
        hint = "use sudo, or become a member of its group"
        raise PermissionDeniedError("this user may not open the socket", where=uri, hint=hint) from error
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


def _read_greeting(
    connection: socket.socket, deadline_s: float, uri: str, *, has_said_token: bool
) -> tuple[Hello, Status]:
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
                case Error(message=message) if message == TOKEN_WANTED and not has_said_token:
                    hint = "name the file that holds it as output.token_file"
                    raise NotRunningError(f"no daemon answers without a token: {message}", where=uri, hint=hint)
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
