"""The hour of the day for a stream that counts samples: read once, and followed when somebody sets the clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

LOOK_S = 10.0
MIN_STEP_S = 1.0


class WallClock:
    """Tells when the wall clock was set, as on machines that learn the hour only after they have started.

    A step counts once it has stayed for two looks in a row: a clock that is being set to and fro dates
    nothing anew. Sleep of the machine is no step, for the boot-time clock sleeps with nobody.

    Args:
        now: wall-clock time.
        boot_clock: seconds, monotonic, going on in sleep.
    """

    def __init__(self, now: Callable[[], datetime], boot_clock: Callable[[], float]) -> None:
        self._now = now
        self._boot_clock = boot_clock
        self._next_look_s = boot_clock() + LOOK_S
        self._candidate_s = 0.0

    def read(self) -> datetime:
        """The time now, from which steps are counted."""
        time = self._now()
        self._started = time - timedelta(seconds=self._boot_clock())
        self._candidate_s = 0.0
        return time

    def hour(self) -> datetime:
        """The time now, but for steps that were not taken yet; after `read`."""
        return self._started + timedelta(seconds=self._boot_clock())

    def take_step(self) -> timedelta | None:
        """By how much the clock was set since the last step or `read`; None if it was not. Cheap to ask often."""
        if self._boot_clock() < self._next_look_s:
            return None
        self._next_look_s = self._boot_clock() + LOOK_S
        step = self._now() - timedelta(seconds=self._boot_clock()) - self._started
        step_s, before_s = step.total_seconds(), self._candidate_s
        self._candidate_s = step_s
        if abs(step_s) < MIN_STEP_S or abs(step_s - before_s) >= MIN_STEP_S:
            return None
        self._started += step
        self._candidate_s = 0.0
        return step
