"""Request the status of a running daemon, which is part of the greeting of each of its sockets."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import msgspec

from streamgmm.client.address import connect_socket, connection_error, parse_address
from streamgmm.errors import NotRunningError, TemporaryError, UsageError
from streamgmm.records import AnyRecord, Error, Hello, Status, decode_json
from streamgmm.sinks.control import Command, decode_reply, encode_command, refusal
from streamgmm.sinks.socket.lobby import STATUS_REQUEST
from streamgmm.sinks.socket.token import Token
from streamgmm.wording import TOKEN_WANTED

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
        with connect_socket(parse_address(uri), timeout_s) as connection:
            # A UNIX socket is protected by its permissions, and requires no token.
            sent = token.to_line() if token is not None and not uri.startswith("unix://") else b""
            with suppress(BrokenPipeError):  # the daemon may have answered and closed already
                connection.sendall(sent + STATUS_REQUEST)
            lines = _read_lines(connection, deadline_s)
            return _read_greeting(lines, uri, has_sent_token=bool(sent))
    except OSError as error:
        raise connection_error(error, uri) from error


def send_command(uri: str, command: Command, timeout_s: float) -> None:
    """Send a command to the daemon that listens at `uri`, and return when it has accepted it.

    Args:
        uri: `unix://PATH`; a daemon takes no commands over TCP.
        command: the command.
        timeout_s: longest time for the answer (s).

    Raises:
        UsageError: `uri` is not such an address, or the daemon refuses the command.
        PermissionDeniedError: this user may not open the socket.
        NotRunningError: nothing listens there, or it does not answer.
        TemporaryError: the daemon has too many subscribers.
    """
    if not uri.startswith("unix://"):
        raise UsageError("a daemon is controlled over a UNIX socket only", where=uri, hint="name a sink unix://PATH")
    deadline_s = time.monotonic() + timeout_s
    try:
        with connect_socket(parse_address(uri), timeout_s) as connection:
            with suppress(BrokenPipeError):
                connection.sendall(encode_command(command))
            for line in _read_lines(connection, deadline_s):
                if (reply := decode_reply(line)) is not None:
                    if reply.refused:
                        raise refusal(reply)
                    return
                if isinstance(record := _decode_line(line), Error):
                    raise TemporaryError(record.message, where=uri)
    except OSError as error:
        raise connection_error(error, uri) from error
    raise NotRunningError("the connection ended before the answer came", where=uri)


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
