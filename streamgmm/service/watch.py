"""Watchdog: detect threads that hang, to withhold keep-alive messages and, as a last resort, to end the process.

A part, such as the capture or the worker, is stuck when it has something to do and has made no progress for too
long. A part with nothing to do is not stuck: a worker waits for sound as long as a microphone is missing. The
capture always has something to do: its longest step, opening a device or waiting to open it, takes ten seconds.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import threading
import time
from collections.abc import Callable

ALIVE_S = 15.0
"""Time without progress after which a part is stuck (s); longer than the longest step of the capture."""

DEADLOCK_S = 30.0
"""Time without progress of one part after which the process is ended (s)."""

WATCH_LOOK_S = 1.0
LATE_LOOK_S = 2.0
# As for a bug (EX_SOFTWARE).
EXIT_DEADLOCK = 70
STDERR_FD = 2


class Watch:
    """Record when each part last made progress.

    Parts report from their own threads without a lock: a lock could be held by the very thread that hangs.

    Args:
        is_due: for each part to watch, returns whether the part has something to do, apart from work within `busy`.
        clock: monotonic time (s).
    """

    def __init__(self, is_due: dict[str, Callable[[], bool]], clock: Callable[[], float] = time.monotonic) -> None:
        self._is_due = is_due
        self._clock = clock
        self._moved_s = dict.fromkeys(is_due, clock())
        self._busy: set[str] = set()
        # Held by those who add and drop parts alone, never by a part that reports.
        self._changing = threading.Lock()

    def add(self, part: str, is_due: Callable[[], bool]) -> None:
        """Watch one more part; may be called from any thread."""
        with self._changing:
            self._moved_s[part] = self._clock()
            # Replaced, not changed: another thread may be iterating over the mapping.
            # After the time above, which `stuck_for_s` looks up for every part of this mapping.
            self._is_due = {**self._is_due, part: is_due}

    def drop(self, part: str) -> None:
        """Stop watching a part, if it was watched; may be called from any thread."""
        with self._changing:
            self._is_due = {other: is_due for other, is_due in self._is_due.items() if other != part}

    def move(self, part: str) -> None:
        """Record progress of `part`."""
        if part in self._moved_s:
            self._moved_s[part] = self._clock()

    def busy(self, part: str) -> Busy:
        """Mark `part` as busy within this context, which has to end soon."""
        return Busy(self, part)

    def begin(self, part: str) -> None:
        """Record that `part` is busy from now on."""
        self.move(part)
        self._busy.add(part)

    def end(self, part: str) -> None:
        """Record that `part` is no longer busy."""
        self._busy.discard(part)
        self.move(part)

    def is_busy(self, part: str) -> bool:
        """Return whether `part` is busy at this moment."""
        return part in self._busy

    def is_alive(self) -> bool:
        """Return whether no part is stuck: the only condition for keep-alive messages."""
        return self.stuck_for_s()[1] <= ALIVE_S

    def stuck_for_s(self) -> tuple[str | None, float]:
        """Return the part that has been without progress for longest although it has work, and the time (s).

        Returns (None, 0.0) if there is no such part.
        """
        now_s = self._clock()
        worst: tuple[str | None, float] = (None, 0.0)
        for part, is_due in self._is_due.items():
            # Its time begins when it gets something to do.
            if part not in self._busy and not is_due():
                self._moved_s[part] = now_s
            elif now_s - self._moved_s[part] > worst[1]:
                worst = (part, now_s - self._moved_s[part])
        return worst

    def forgive(self) -> None:
        """Record progress of all parts, e.g. after the whole process was stopped for a while."""
        now_s = self._clock()
        for part in list(self._moved_s):
            self._moved_s[part] = now_s


class Busy:
    """Context in which a part is busy; a class, because a generator costs more than all else at every record.

    Args:
        watch: records it.
        part: the part.
    """

    __slots__ = ("_part", "_watch")

    def __init__(self, watch: Watch, part: str) -> None:
        self._watch = watch
        self._part = part

    def __enter__(self) -> None:
        self._watch.begin(self._part)

    def __exit__(self, *_: object) -> None:
        self._watch.end(self._part)


def end_process(part: str | None, stuck_s: float) -> None:
    """Write the traceback of every thread to stderr, and end the process without locks that a stuck thread may hold."""
    # Writing to stderr may block if nobody reads it: the timer ends the process anyway.
    timer = threading.Timer(WATCH_LOOK_S, os._exit, (EXIT_DEADLOCK,))
    timer.daemon = True
    timer.start()
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
    """Check all parts until `is_over` is set, and end the process if one is stuck; run in a dedicated thread.

    Args:
        watch: records the progress of the parts.
        is_over: ends the checks.
        end: ends the process; receives the stuck part, and for how long it has been stuck (s).
        clock: the clock of `watch`.
        wait: waits for an event, at most the given number of seconds; returns True if the event is set.
    """
    while True:
        looked_s = clock()
        if wait(is_over, WATCH_LOOK_S):
            break
        # If this thread itself woke up late, the others had no chance either: the process was stopped, or the machine
        # slept.
        if clock() - looked_s > WATCH_LOOK_S + LATE_LOOK_S:
            watch.forgive()
        part, stuck_s = watch.stuck_for_s()
        if stuck_s > DEADLOCK_S:
            end(part, stuck_s)
            break
