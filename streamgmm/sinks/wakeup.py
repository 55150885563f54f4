"""Waking a thread that waits in a selector."""

from __future__ import annotations

import socket
from contextlib import suppress


class WakeUp:
    """A pair of connected sockets: `ring` at one end makes the other readable."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """The descriptor that becomes readable."""
        return self._reader.fileno()

    def ring(self) -> None:
        """Wake the thread, from any other; without effect once closed."""
        # A full pair means that earlier rings have not been heard yet: one is enough.
        with suppress(OSError):
            self._writer.send(b"\0")

    def clear(self) -> None:
        """Forget the rings so far."""
        with suppress(BlockingIOError):
            self._reader.recv(4096)

    def close(self) -> None:
        """Close both ends."""
        self._reader.close()
        self._writer.close()
