"""Accept clients, and reject them with an `error` record, even when the process is out of file descriptors."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

from streamgmm.records import Error, encode_json
from streamgmm.sinks.socket.listeners import Listener
from streamgmm.wording import TOKEN_WANTED

logger = logging.getLogger("streamgmm.sinks")

ACCEPTS_PER_TURN = 16
"""Most connections accepted in one turn, so that many new ones do not delay the present clients."""

UNREAD_BYTES = 4096
"""Most bytes read from a client before it is rejected."""

Rejection = Literal["limit", "token"]
"""Reason why a client is rejected: too many clients, or no valid token."""

_WORDS: dict[Rejection, bytes] = {
    "limit": encode_json(Error(t=0.0, message="too many subscribers; try again later")),
    "token": encode_json(Error(t=0.0, message=TOKEN_WANTED)),
}


class Door:
    """Acceptor: the listening socket of a listener, with one file descriptor in reserve.

    Args:
        listener: opened by the constructor, and closed by `close`.

    Attributes:
        n_rejected: number of rejected clients.

    Raises:
        StreamgmmError: as `listener.open`.
        OSError: the process is out of file descriptors.
    """

    def __init__(self, listener: Listener) -> None:
        self.n_rejected = 0
        self._name = listener.uri
        self._listener = listener
        self._spare_fd: int | None = None
        self._server = self._listen()
        self._take_spare_fd()

    def is_in_place(self) -> bool:
        """Return whether clients can still reach the socket at its address."""
        return self._listener.is_in_place()

    def reopen(self) -> None:
        """Listen at the address again; `fileno` changes, unless this fails.

        Raises:
            StreamgmmError: as `listener.open`.
            OSError: the process is out of file descriptors.
        """
        self._listener.close()
        # The old socket is closed last: if listening fails, it remains, and `fileno` with it.
        before, self._server = self._server, self._listen()
        before.close()

    def fileno(self) -> int:
        """Return the listening descriptor, for a selector."""
        return self._server.fileno()

    def accept_some(self) -> Iterator[socket.socket]:
        """Yield new connections, at most `ACCEPTS_PER_TURN` of them."""
        for _ in range(ACCEPTS_PER_TURN):
            try:
                yield self._server.accept()[0]
            except BlockingIOError:
                return
            except OSError as error:
                # All other errors concern a single client that has disconnected already (accept(2)).
                if error.errno in (errno.EMFILE, errno.ENFILE) and (connection := self._accept_with_spare_fd()):
                    yield connection

    def refuse(self, connection: socket.socket, reason: Rejection = "limit") -> None:
        """Send the reason in one `error` record and close; the record belongs to no stream (seq 0, t 0)."""
        self.n_rejected += 1
        with connection, suppress(OSError):
            connection.setblocking(False)
            # The send buffer of a new connection is empty, so one call takes the whole line.
            connection.send(_WORDS[reason])
            # Closing with unread input would make the kernel reset the connection and discard the answer.
            connection.recv(UNREAD_BYTES)
        logger.warning("client.rejected sink=%s reason=%s", self._name, reason)

    def close(self) -> None:
        """Stop listening."""
        self._server.close()
        self._drop_spare_fd()
        self._listener.close()

    def _listen(self) -> socket.socket:
        server = self._listener.open()
        server.setblocking(False)
        return server

    def _accept_with_spare_fd(self) -> socket.socket | None:
        """Return the next client if another descriptor is free after it; else reject it, if there is one."""
        # A client that cannot be accepted would stay in the backlog and wake the thread again and again.
        self._drop_spare_fd()
        try:
            connection = self._server.accept()[0]
        except OSError:
            self._take_spare_fd()
            return None
        self._take_spare_fd()
        # accept(2) checks for a free descriptor before it looks for a client, and one may be free again by now.
        if self._spare_fd is not None:
            return connection
        self.refuse(connection)
        self._take_spare_fd()
        return None

    def _take_spare_fd(self) -> None:
        with suppress(OSError):
            self._spare_fd = os.open(os.devnull, os.O_RDONLY)

    def _drop_spare_fd(self) -> None:
        if self._spare_fd is not None:
            os.close(self._spare_fd)
        self._spare_fd = None
