"""Iterate over the records of a daemon in the calling thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType

from streamgmm.client.address import Address, connect_socket, connection_error, parse_address
from streamgmm.client.conversation import Conversation, Record, token_bytes
from streamgmm.client.retrying import OnLost, Retrying
from streamgmm.errors import StreamgmmError

RECEIVE_BYTES = 65536


def connect(
    address: str,
    *,
    token: str | bytes | None = None,
    reconnect: bool = True,
    timeout_s: float = 5.0,
    max_wait_s: float = 30.0,
    on_lost: OnLost | None = None,
) -> Connection:
    """Connect to a running daemon, and return an iterator over its records.

    The stream begins with a greeting: the `hello` and `status` of each source, and the `start` of each open event.
    After a reconnection a greeting comes again; a `hello` with another `run_id` means that the daemon was restarted.

    Args:
        address: `unix://PATH` or `tcp://HOST:PORT`, as the daemon's `--sink`.
        token: token of the daemon, sent to a TCP address only.
        reconnect: whether to connect again whenever the connection is lost; otherwise the iteration ends when the
            daemon ends.
        timeout_s: longest time for connecting, and for the greeting (s); after that, a daemon may be silent for as long
            as it likes.
        max_wait_s: longest wait between two attempts to connect again (s).
        on_lost: called before each such wait, see `OnLost`.

    Raises:
        UsageError: the address or the token is not valid.
        NotRunningError: nothing listens there.
        PermissionDeniedError: this user may not open the socket.
    """
    retrying = Retrying(address, reconnect=reconnect, max_wait_s=max_wait_s, on_lost=on_lost)
    return Connection(parse_address(address), token_bytes(token), timeout_s, retrying)


class Connection:
    """Iterator over the records of a daemon; also a context manager that closes it.

    Args:
        address: where to connect to, which the constructor does.
        token: token to send; empty for none.
        timeout_s: longest time for connecting, and for the greeting (s).
        retrying: decides what follows a failure.

    Raises:
        StreamgmmError: no connection was made (see `connect`).
    """

    def __init__(self, address: Address, token: bytes, timeout_s: float, retrying: Retrying) -> None:
        self._address = address
        self._token = token
        self._timeout_s = timeout_s
        self._retrying = retrying
        self._closing = threading.Event()
        # Held while the socket is exchanged, so that `close` from another thread misses none.
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        try:
            self._open()
        except OSError as error:
            raise connection_error(error, address.uri) from error
        self._records = self._iterate()

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        """Return the next record, as soon as there is one.

        Raises:
            StopIteration: `close` was called, or, without `reconnect`, the daemon has ended.
            StreamgmmError: the connection failed before the first record or, without `reconnect`, later; or the token
                was refused.
        """
        return next(self._records)

    def close(self) -> None:
        """End the iteration and disconnect; from any thread, and repeatedly."""
        self._closing.set()
        with self._lock:
            self._hang_up()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _iterate(self) -> Iterator[Record]:
        while not self._closing.is_set():
            try:
                for record in self._converse():
                    self._retrying.note_record()
                    yield record
                    if self._closing.is_set():
                        return
            except (OSError, StreamgmmError) as error:
                with self._lock:
                    self._hang_up()
                # However the connection ends after `close`, that is no failure.
                wait_s = None if self._closing.is_set() else self._retrying.wait_after(error)
                if wait_s is None or self._closing.wait(wait_s):
                    return

    def _converse(self) -> Iterator[Record]:
        """Yield the records of one connection, and end by an exception."""
        connection = self._open()
        conversation = Conversation(self._address, self._token)
        # The peer may have answered and hung up already.
        with suppress(BrokenPipeError):
            connection.sendall(conversation.opening)
        try:
            while data := connection.recv(RECEIVE_BYTES):
                yield from conversation.receive(data)
                # A quiet room is not a failure.
                connection.settimeout(None if conversation.has_begun else self._timeout_s)
        except TimeoutError as error:
            raise conversation.unanswered() from error
        raise self._retrying.ended()

    def _open(self) -> socket.socket:
        """Return the socket that the constructor has connected, or a new one."""
        with self._lock:
            if self._socket is not None:
                return self._socket
        connection = connect_socket(self._address, self._timeout_s)
        with self._lock:
            self._socket = connection
            if self._closing.is_set():
                self._hang_up()
        return connection

    def _hang_up(self) -> None:
        if self._socket is not None:
            # Wakes a thread that waits for records, which closing alone would not.
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None
