"""Whether a daemon still moves: audio is being analysed, or a loss that is known is being healed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

WORKER_LIMIT_S = 10.0
"""Longest that samples may wait for the worker: a hop takes it milliseconds, and a writer's hurry is bounded."""

CAPTURE_LIMIT_S = 15.0
"""Longest that the capture thread may be silent: opening a device is given 10 s, a wait between attempts too."""


class Position(NamedTuple):
    """How far both threads are; any change is a movement.

    Attributes:
        captured: changes whenever the capture thread delivered, lost or tried something.
        analysed: changes whenever the worker finished something.
        is_waiting: whether there is something for the worker to do.
    """

    captured: int
    analysed: int
    is_waiting: bool


class Progress:
    """Remembers when each thread was last seen to move.

    It is asked, never told: a thread that hangs cannot go on claiming that it is well.

    Args:
        position: how far the threads are.
        is_live: whether the source goes on by itself; another one may pause for as long as it likes.
        clock: seconds, monotonic.
    """

    def __init__(self, position: Callable[[], Position], *, is_live: bool, clock: Callable[[], float]) -> None:
        self._position = position
        self._is_live = is_live
        self._clock = clock
        self._last = position()
        self._captured_s = self._analysed_s = clock()

    def is_alive(self) -> bool:
        """Whether both threads moved not long ago, as far as there was something to do."""
        now_s, position = self._clock(), self._position()
        if position.captured != self._last.captured:
            self._captured_s = now_s
        if position.analysed != self._last.analysed or not position.is_waiting:
            self._analysed_s = now_s
        self._last = position
        is_heard = not self._is_live or now_s - self._captured_s <= CAPTURE_LIMIT_S
        return is_heard and now_s - self._analysed_s <= WORKER_LIMIT_S
