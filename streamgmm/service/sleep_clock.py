"""How long the machine has slept: the monotonic clock stands still then, the boot-time clock does not."""

from __future__ import annotations

import time
from collections.abc import Callable

MIN_SLEEP_S = 1.0


def boot_time() -> float:
    """Seconds since the machine was started, sleep included; without such a clock, those of the monotonic one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class SleepClock:
    """Tells how long the machine has slept since it was last asked.

    Args:
        clock: seconds, monotonic, standing still in sleep.
        boot_clock: seconds, going on in sleep.
    """

    def __init__(self, clock: Callable[[], float], boot_clock: Callable[[], float]) -> None:
        self._clock = clock
        self._boot_clock = boot_clock
        self._ahead_s = boot_clock() - clock()

    def take_slept_s(self) -> float:
        """Seconds of sleep; 0.0 for less than `MIN_SLEEP_S`, which then count the next time."""
        ahead_s = self._boot_clock() - self._clock()
        slept_s = ahead_s - self._ahead_s
        if slept_s < MIN_SLEEP_S:
            return 0.0
        self._ahead_s = ahead_s
        return slept_s
