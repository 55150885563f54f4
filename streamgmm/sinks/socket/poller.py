"""Wait for many descriptors at once: for input, for space to write, or only for the end of a connection."""

from __future__ import annotations

import select
import selectors
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol


class HasDescriptor(Protocol):
    """Any object with a file descriptor."""

    def fileno(self) -> int:
        """Return the descriptor."""


class Poller:
    """A selector that can also wait for just the end of a connection.

    A selector of the standard library only waits for input and for space, and a connection whose other end has closed
    its sending half is always readable. A separate epoll requests neither, so it reports only hang-ups and errors, and
    the selector waits for that epoll to become readable. On systems without epoll, the end of such a connection is
    detected at the next record.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._epoll = select.epoll() if sys.platform == "linux" else None
        self._on_end: dict[int, Callable[[], None]] = {}
        if self._epoll is not None:
            self._selector.register(self._epoll.fileno(), selectors.EVENT_READ, self._serve_ends)

    def watch(
        self, watched: HasDescriptor, on_readable: Callable[[], None], *, reads: bool = True, writes: bool = False
    ) -> None:
        """Call `on_readable` when there is input if `reads`, and wake up when there is space to write if `writes`."""
        events = (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if writes else 0)
        key = self._selector.get_map().get(watched)
        # The callback may be another object, but callers give each descriptor an equal one until they forget it.
        if key is not None and key.events == events:
            return
        if key is not None:
            self._selector.unregister(watched)
        # A selector cannot wait for no events at all, so such a descriptor stays unregistered.
        if events:
            self._selector.register(watched, events, on_readable)

    def watch_end(self, connection: socket.socket, on_end: Callable[[], None]) -> None:
        """Call `on_end` when both directions of `connection` are closed."""
        if self._epoll is not None:
            self._epoll.register(connection, 0)
            self._on_end[connection.fileno()] = on_end

    def forget(self, watched: HasDescriptor) -> None:
        """Stop watching a descriptor; call before it is closed."""
        if watched in self._selector.get_map():
            self._selector.unregister(watched)
        if self._epoll is not None and self._on_end.pop(watched.fileno(), None) is not None:
            with suppress(OSError):
                self._epoll.unregister(watched)

    def wait(self, timeout_s: float) -> None:
        """Wait for at most `timeout_s` seconds, and call the callbacks that are due."""
        for key, events in self._selector.select(timeout_s):
            # Space to write needs no callback, because the caller tries to send to every client after each wait.
            if events & selectors.EVENT_READ:
                key.data()

    def close(self) -> None:
        """Close the selector; watched descriptors stay open."""
        self._selector.close()
        if self._epoll is not None:
            self._epoll.close()

    def _serve_ends(self) -> None:
        for fd, _ in self._epoll.poll(0) if self._epoll is not None else ():
            if on_end := self._on_end.get(fd):
                on_end()
