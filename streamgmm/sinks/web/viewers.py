"""Streams of records to browsers (server-sent events), with a bounded queue each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

MAX_WAITING = 256
"""Messages that wait for a slow browser; one that lets more wait is disconnected, and connects again by itself."""

SILENCE_S = 10.0
"""Longest time without a message (s), so that a connection that is lost is noticed."""


class Viewer:
    """One stream.

    Args:
        disconnect: ends the connection at once, even if the browser does not read.
    """

    def __init__(self, disconnect: Callable[[], None]) -> None:
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(MAX_WAITING)
        self._disconnect = disconnect

    def put(self, message: bytes) -> bool:
        """Queue a message; disconnect the browser and return False if too many wait."""
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            self._disconnect()
            return False
        return True

    async def take(self) -> bytes:
        """Return all waiting messages, as soon as there is one; a comment if there is none for long."""
        try:
            first = await asyncio.wait_for(self._waiting.get(), SILENCE_S)
        except TimeoutError:
            return b":\n\n"
        rest = [self._waiting.get_nowait() for _ in range(self._waiting.qsize())]
        return b"".join((first, *rest))


class Viewers:
    """All streams.

    Args:
        max_viewers: most streams at once.
    """

    def __init__(self, max_viewers: int) -> None:
        self._max_viewers = max_viewers
        self._viewers: set[Viewer] = set()

    @property
    def is_full(self) -> bool:
        """Return whether no other stream is accepted."""
        return len(self._viewers) >= self._max_viewers

    def __len__(self) -> int:
        return len(self._viewers)

    def broadcast(self, message: bytes) -> None:
        """Queue a message for every stream, and leave out those that are too slow."""
        self._viewers = {viewer for viewer in self._viewers if viewer.put(message)}

    async def stream(self, viewer: Viewer) -> AsyncIterator[bytes]:
        """Yield what is broadcast from now on, until the browser leaves or is too slow."""
        self._viewers.add(viewer)
        try:
            # The messages that it was made with, before the first turn of others.
            while viewer in self._viewers:
                yield await viewer.take()
        finally:
            self._viewers.discard(viewer)


def message_of(kind: str, data: bytes, seq: int | None = None) -> bytes:
    """Return a message of type `kind`; a browser that was away asks for what came after `seq`."""
    number = b"" if seq is None else b"id: %d\n" % seq
    # JSON has no line breaks, which would need a `data:` each.
    return b"event: %s\n%sdata: %s\n\n" % (kind.encode(), number, data)
