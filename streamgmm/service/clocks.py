"""Clocks of a daemon, which tests can replace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from streamgmm.service.sleep_clock import boot_time


def utc_now() -> datetime:
    """Return wall-clock time in UTC; used to date the first sample, never to measure intervals."""
    return datetime.now(UTC)


class Clocks(NamedTuple):
    """Clocks of a run.

    Attributes:
        monotonic: monotonic time without sleep of the machine (s).
        boot: monotonic time including sleep of the machine (s).
        now: wall-clock time.
        wait: waits for an event, at most the given number of seconds; returns True if the event is set.
    """

    monotonic: Callable[[], float] = time.monotonic
    boot: Callable[[], float] = boot_time
    now: Callable[[], datetime] = utc_now
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait


REAL_CLOCKS = Clocks()
