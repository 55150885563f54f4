"""Whether every part still moves: what a watchdog may be told, and the last resort where there is none.

A part is stuck when it has something to do and has not moved for too long. One that has nothing to do is
not stuck: a worker waits for sound as long as a microphone is missing. The capture always has something to
do: its longest step, opening a device or waiting to, takes ten seconds.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import threading
import time
from collections.abc import Callable, Iterator

ALIVE_S = 15.0
"""A part that has not moved for so long is stuck; longer than the longest step of the capture."""

DEADLOCK_S = 30.0
"""A part that is stuck for so long ends the process."""

LOOK_S = 1.0
LATE_S = 2.0
EXIT_DEADLOCK = 70
STDERR_FD = 2


class Watch:
    """Notes when each part moved.

    Args:
        is_due: for each part to watch, whether it has something to do, apart from what it is busy with.
        clock: seconds, monotonic.
    """

    def __init__(self, is_due: dict[str, Callable[[], bool]], clock: Callable[[], float] = time.monotonic) -> None:
        self._is_due = is_due
        self._clock = clock
        self._moved_s = dict.fromkeys(is_due, clock())
        self._busy: set[str] = set()

    def add(self, part: str, is_due: Callable[[], bool]) -> None:
        """Watch one more part; from any thread."""
        self._moved_s[part] = self._clock()
        self._is_due = {**self._is_due, part: is_due}

    def drop(self, part: str) -> None:
        """Watch a part no more, if it was watched; from any thread."""
        self._is_due = {other: is_due for other, is_due in self._is_due.items() if other != part}

    def move(self, part: str) -> None:
        """`part` has moved."""
        if part in self._moved_s:
            self._moved_s[part] = self._clock()

    @contextlib.contextmanager
    def busy(self, part: str) -> Iterator[None]:
        """`part` does something that has to end soon."""
        self.move(part)
        self._busy.add(part)
        try:
            yield
        finally:
            self._busy.discard(part)
            self.move(part)

    def is_alive(self) -> bool:
        """Whether no part is stuck: what feeds a watchdog, and nothing else may."""
        return self.stuck_for_s()[1] <= ALIVE_S

    def stuck_for_s(self) -> tuple[str | None, float]:
        """The part that has not moved for longest although it had to, and for how many seconds; (None, 0.0) if none."""
        now_s = self._clock()
        worst: tuple[str | None, float] = (None, 0.0)
        for part, is_due in self._is_due.items():
            if part not in self._busy and not is_due():
                self._moved_s[part] = now_s
            elif now_s - self._moved_s[part] > worst[1]:
                worst = (part, now_s - self._moved_s[part])
        return worst

    def forgive(self) -> None:
        """All parts have moved just now: this whole process was stopped for a while."""
        now_s = self._clock()
        for part in self._moved_s:
            self._moved_s[part] = now_s


def end_process(part: str | None, stuck_s: float) -> None:
    """Show where every thread stands, and end without asking any of them: neither for the log nor for stderr."""
    timer = threading.Timer(LOOK_S, os._exit, (EXIT_DEADLOCK,))
    timer.daemon = True
    timer.start()  # nobody may read stderr any more
    with contextlib.suppress(OSError):
        os.write(STDERR_FD, f"streamgmm: watch.deadlock part={part} stuck_s={stuck_s:.1f}\n".encode())
        faulthandler.dump_traceback(STDERR_FD)
    os._exit(EXIT_DEADLOCK)


def guard(
    watch: Watch,
    is_over: threading.Event,
    *,
    end: Callable[[str | None, float], None] = end_process,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
) -> None:
    """Look after all parts until `is_over`, and end the process if one is stuck; to be run in a thread of its own.

    Args:
        watch: knows when they moved.
        is_over: ends it.
        end: ends the process; gets the part that is stuck, and for how long (s).
        clock: that of `watch`.
        wait: waits for the event, at most for so many seconds; True if it is set.
    """
    while True:
        looked_s = clock()
        if wait(is_over, LOOK_S):
            break
        # As late as this itself is, so late may the others be: the process was stopped, or the machine slept.
        if clock() - looked_s > LOOK_S + LATE_S:
            watch.forgive()
        part, stuck_s = watch.stuck_for_s()
        if stuck_s > DEADLOCK_S:
            end(part, stuck_s)
            break
