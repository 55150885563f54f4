"""Turns of the channels at the one worker thread: first come, first served, one hop each."""

from __future__ import annotations

import queue
import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Queue of those that have work; each is in it at most once, so that its length is bounded by their number.

    A channel joins when a hop of its audio is complete, and again behind all others after each hop: the cost of a hop
    does not depend on the number of channels, and a channel with much work delays another one by a hop at most.
    """

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._members: set[T] = set()
        self._lock = threading.Lock()

    def join(self, member: T) -> None:
        """Put `member` at the end of the queue, unless it is in it; from any thread, never waits."""
        with self._lock:
            if member in self._members:
                return
            self._members.add(member)
        # After it is in the set, where `take` relies on finding it.
        self._waiting.put(member)

    def take(self) -> T | None:
        """Wait for the next member and remove it from the queue; None after `wake`."""
        member = self._waiting.get()
        if member is not None:
            with self._lock:
                self._members.remove(member)
        return member

    def wake(self) -> None:
        """Make one `take` return None; from any thread."""
        self._waiting.put(None)
