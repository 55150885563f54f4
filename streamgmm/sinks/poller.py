"""Waiting for many descriptors at once: for bytes, for space, or only for the end of a connection."""

from __future__ import annotations

import select
import selectors
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol


class HasDescriptor(Protocol):
    """Anything with a descriptor."""

    def fileno(self) -> int:
        """The descriptor."""


class Poller:
    """A selector that can also wait for nothing but the end of a connection.

    A selector of the standard library waits for bytes and for space only, and a connection whose other end has closed
    its sending half is readable all the time. An epoll of its own asks for neither, reports hang-ups and errors alone,
    and is itself readable then. Where there is no epoll, such an end is noticed at the next record.
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
        """Call `on_readable` when there are bytes, and wake up when there is space; either, both or none of it."""
        events = (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if writes else 0)
        key = self._selector.get_map().get(watched)
        if key is not None and key.events == events:
            return
        if key is not None:
            self._selector.unregister(watched)
        if events:
            self._selector.register(watched, events, on_readable)

    def watch_end(self, connection: socket.socket, on_end: Callable[[], None]) -> None:
        """Call `on_end` when both directions of `connection` are over."""
        if self._epoll is not None:
            self._epoll.register(connection, 0)
            self._on_end[connection.fileno()] = on_end

    def forget(self, watched: HasDescriptor) -> None:
        """Wait for nothing of it any more; before it is closed."""
        if watched in self._selector.get_map():
            self._selector.unregister(watched)
        if self._epoll is not None and self._on_end.pop(watched.fileno(), None) is not None:
            with suppress(OSError):
                self._epoll.unregister(watched)

    def wait(self, timeout_s: float) -> None:
        """Wait for at most `timeout_s` seconds, and call what is due."""
        for key, events in self._selector.select(timeout_s):
            if events & selectors.EVENT_READ:
                key.data()

    def close(self) -> None:
        """Wait for nothing any more."""
        self._selector.close()
        if self._epoll is not None:
            self._epoll.close()

    def _serve_ends(self) -> None:
        for fd, _ in self._epoll.poll(0) if self._epoll is not None else ():
            if on_end := self._on_end.get(fd):
                on_end()
