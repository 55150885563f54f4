"""Wall-clock time for a stream that counts samples: read once, then corrected when the system clock is set."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

# A step is taken at the second look after it, so within about 20 s.
CLOCK_LOOK_S = 10.0
# Smaller deviations are left alone, such as those that NTP corrects gradually.
MIN_STEP_S = 1.0


class WallClock:
    """Detect steps of the wall clock, as on machines that only get the time from the network after they have started.

    A step counts once it has lasted for two successive checks, so that a clock that is set back and forth changes no
    dates. Sleep of the machine is not a step, as the boot-time clock continues during sleep.

    Args:
        now: wall-clock time.
        boot_clock: monotonic time including sleep (s).
    """

    def __init__(self, now: Callable[[], datetime], boot_clock: Callable[[], float]) -> None:
        self._now = now
        self._boot_clock = boot_clock
        self._next_look_s = boot_clock() + CLOCK_LOOK_S
        self._candidate_s = 0.0

    def read(self) -> datetime:
        """Return the current wall-clock time, and measure later steps from it."""
        time = self._now()
        # Wall-clock time at which the boot clock read 0, so that their difference shows steps of the wall clock alone.
        self._started = time - timedelta(seconds=self._boot_clock())
        self._candidate_s = 0.0
        return time

    def hour(self) -> datetime:
        """Return the current time without steps that `take_step` has not returned yet; call `read` first."""
        return self._started + timedelta(seconds=self._boot_clock())

    def take_step(self) -> timedelta | None:
        """Return by how much the clock was set since the last step or `read`; None if it was not set. Cheap to call."""
        if self._boot_clock() < self._next_look_s:
            return None
        self._next_look_s = self._boot_clock() + CLOCK_LOOK_S
        step = self._now() - timedelta(seconds=self._boot_clock()) - self._started
        step_s, before_s = step.total_seconds(), self._candidate_s
        self._candidate_s = step_s
        if abs(step_s) < MIN_STEP_S or abs(step_s - before_s) >= MIN_STEP_S:
            return None
        self._started += step
        self._candidate_s = 0.0
        return step
