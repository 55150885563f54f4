"""Turns of the channels at the one worker thread: first come, first served, one hop each."""

from __future__ import annotations

import queue
import threading
import time
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Queue of those that have work; each is in it at most once, so that its length is bounded by their number.

    A channel joins when a hop of its audio is complete, and again behind all others after each hop: the cost of a hop
    does not grow with the number of channels, and a channel with much work delays another one by a hop at most.
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

    def take(self, n_most: int, *, not_before_s: float = 0.0) -> list[T]:
        """Wait for the next member, and remove it with all others that wait by then; return none after `wake`.

        Args:
            n_most: number of members to take at most.
            not_before_s: monotonic time until which others may join, so that they are served together (s).
        """
        taken = [self._waiting.get()]
        if taken[0] is not None:
            time.sleep(max(0.0, not_before_s - time.monotonic()))
        with suppress(queue.Empty):
            while len(taken) < n_most and taken[-1] is not None:
                taken.append(self._waiting.get_nowait())
        members = [member for member in taken if member is not None]
        with self._lock:
            self._members.difference_update(members)
        return members

    def wake(self) -> None:
        """Make one `take` return without waiting; from any thread."""
        self._waiting.put(None)
