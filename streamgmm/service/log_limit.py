"""A log that no client and no loose plug can flood."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

INTERVAL_S = 10.0
LIMITED_EVENTS = ("client.", "exec.", "capture.", "config.", "watchdog.")
"""Beginnings of the events that others can cause as often as they like."""


class LogLimit(logging.Filter):
    """Lets one line of each limited event through per interval; the next one tells how many were held back.

    Events are told apart by their message before its arguments are filled in, so there are only as many
    as the program has of them.

    Args:
        interval_s: seconds from one line to the next of the same event.
        clock: seconds, monotonic.
    """

    def __init__(self, interval_s: float = INTERVAL_S, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._clock = clock
        self._lock = threading.Lock()
        self._next_s: dict[str, float] = {}
        self._n_suppressed: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write `record`; adds `suppressed=N` to it if others were not."""
        event = str(record.msg)
        if not event.startswith(LIMITED_EVENTS):
            return True
        with self._lock:
            now_s = self._clock()
            if now_s < self._next_s.get(event, now_s):
                self._n_suppressed[event] = self._n_suppressed.get(event, 0) + 1
                return False
            self._next_s[event] = now_s + self._interval_s
            n_suppressed = self._n_suppressed.pop(event, 0)
        if n_suppressed:
            record.msg = f"{event} suppressed={n_suppressed}"
        return True
