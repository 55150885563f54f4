"""Detect sleep of the machine: the monotonic clock stops during sleep, the boot-time clock does not."""

from __future__ import annotations

import time
from collections.abc import Callable

MIN_SLEEP_S = 1.0


def boot_time() -> float:
    """Return the time since boot including sleep (s), or monotonic time on systems without such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class SleepClock:
    """Measure how long the machine has slept between calls.

    Args:
        clock: monotonic time without sleep (s).
        boot_clock: monotonic time including sleep (s).
    """

    def __init__(self, clock: Callable[[], float], boot_clock: Callable[[], float]) -> None:
        self._clock = clock
        self._boot_clock = boot_clock
        # The difference between the two clocks only grows while the machine sleeps.
        self._ahead_s = boot_clock() - clock()

    def take_slept_s(self) -> float:
        """Return the sleep since the last call (s); less than `MIN_SLEEP_S` gives 0.0 and counts in the next call."""
        ahead_s = self._boot_clock() - self._clock()
        slept_s = ahead_s - self._ahead_s
        if slept_s < MIN_SLEEP_S:
            return 0.0
        self._ahead_s = ahead_s
        return slept_s
