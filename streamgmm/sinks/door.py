"""Accepting clients, and turning them away politely, also when the process is out of descriptors."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

from streamgmm.records import Error, encode_json
from streamgmm.sinks.listeners import Listener

logger = logging.getLogger("streamgmm.sinks")

ACCEPTS_PER_TURN = 16
"""Connections accepted at once; then the clients that are there get their turn again."""

UNREAD_BYTES = 4096
"""Of what a client has said before it is turned away, at most so much is taken notice of."""

TOKEN_WANTED = "the first line has to be the token"

Refusal = Literal["limit", "token"]
"""Why a client is turned away."""

_WORDS: dict[Refusal, bytes] = {
    "limit": encode_json(Error(t=0.0, message="too many subscribers; try again later")),
    "token": encode_json(Error(t=0.0, message=TOKEN_WANTED)),
}


class Door:
    """The listening socket of a listener, with a descriptor in reserve.

    Args:
        listener: opened here, and closed with the door.

    Attributes:
        n_rejected: clients turned away.

    Raises:
        StreamgmmError: as `listener.open`.
        OSError: out of descriptors.
    """

    def __init__(self, listener: Listener) -> None:
        self.n_rejected = 0
        self._name = listener.uri
        self._listener = listener
        self._spare_fd: int | None = None
        self._server = self._listen()
        self._take_spare_fd()

    def is_in_place(self) -> bool:
        """Whether clients that look for it still find it."""
        return self._listener.is_in_place()

    def reopen(self) -> None:
        """Claim the place anew; the descriptor is another one afterwards, unless that fails.

        Raises:
            StreamgmmError: as `listener.open`.
            OSError: out of descriptors.
        """
        self._listener.close()
        before, self._server = self._server, self._listen()
        before.close()

    def fileno(self) -> int:
        """The listening descriptor, for a selector."""
        return self._server.fileno()

    def accept_some(self) -> Iterator[socket.socket]:
        """The clients that knock, at most `ACCEPTS_PER_TURN` of them."""
        for _ in range(ACCEPTS_PER_TURN):
            try:
                yield self._server.accept()[0]
            except BlockingIOError:
                return
            except OSError as error:
                # Any other error is that of a client that has gone again (accept(2)).
                if error.errno in (errno.EMFILE, errno.ENFILE) and (connection := self._accept_with_spare_fd()):
                    yield connection

    def refuse(self, connection: socket.socket, reason: Refusal = "limit") -> None:
        """Say in one `error` record why, and close; its envelope is that of no stream (seq 0, t 0)."""
        self.n_rejected += 1
        with connection, suppress(OSError):
            connection.setblocking(False)
            connection.send(_WORDS[reason])
            # What it has said and nobody has read would make the system reset the connection, answer and all.
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
        """The next client if there is a descriptor left after it, else None: then it was refused, or there is none."""
        # A client that cannot be accepted stays in the backlog and would wake the thread without end.
        self._drop_spare_fd()
        try:
            connection = self._server.accept()[0]
        except OSError:
            self._take_spare_fd()
            return None
        self._take_spare_fd()
        # The system looks for a descriptor before it looks for a client: by now there may be one again.
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
