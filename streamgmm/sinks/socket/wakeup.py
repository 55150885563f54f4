"""Wake a thread that waits in a selector."""

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
        """Return the descriptor that becomes readable."""
        return self._reader.fileno()

    def ring(self) -> None:
        """Wake the thread; may be called from any thread, and has no effect after `close`."""
        # A full buffer means that earlier rings are still pending, and one is enough.
        with suppress(OSError):
            self._writer.send(b"\0")

    def clear(self) -> None:
        """Discard all rings so far."""
        with suppress(BlockingIOError):
            self._reader.recv(4096)

    def close(self) -> None:
        """Close both ends."""
        self._reader.close()
        self._writer.close()
