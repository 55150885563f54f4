"""Where a daemon reads the time; tests hand in clocks of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from streamgmm.service.sleep_clock import boot_time


def utc_now() -> datetime:
    """Return wall-clock time; used to date the first sample, never to measure."""
    return datetime.now(UTC)


class Clocks(NamedTuple):
    """The clocks of a run.

    Attributes:
        monotonic: seconds, standing still while the machine sleeps.
        boot: seconds, monotonic, going on while the machine sleeps.
        now: wall-clock time.
        wait: wait for the event, at most for so many seconds; True if it is set.
    """

    monotonic: Callable[[], float] = time.monotonic
    boot: Callable[[], float] = boot_time
    now: Callable[[], datetime] = utc_now
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait


REAL_CLOCKS = Clocks()
