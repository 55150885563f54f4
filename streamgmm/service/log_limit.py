"""Rate limit for log events that clients or loose plugs could repeat without end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

INTERVAL_S = 10.0
LIMITED_EVENTS = ("client.", "exec.", "capture.", "config.", "watchdog.", "sink.restarting")
"""Prefixes of the events that outside causes can repeat as often as they like."""

N_AT_ONCE = {"config.": 3, "sink.restarting": 3}
"""Lines that may come in a row, by prefix; otherwise one. Whoever reloads again waits for the result, and several
sinks may lose their process at the same time."""


class LogLimit(logging.Filter):
    """Pass one line of each limited event per interval in the long run; the next one reports how many were suppressed.

    Events are distinguished by their message template, before arguments are filled in, so their number is
    bounded by that of the log calls in the program.

    Args:
        interval_s: shortest interval between two lines of the same event (s).
        clock: monotonic time (s).
    """

    def __init__(self, interval_s: float = INTERVAL_S, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._clock = clock
        self._lock = threading.Lock()
        self._next_s: dict[str, float] = {}
        self._n_suppressed: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write `record`; append `suppressed=N` to it if earlier ones were not written."""
        event = str(record.msg)
        if not event.startswith(LIMITED_EVENTS):
            return True
        # A handler filters before it takes its own lock, so several threads may be here at once.
        with self._lock:
            now_s = self._clock()
            # A leaky bucket: when the next line is due if all come evenly, and by how much it may come early.
            due_s = max(now_s, self._next_s.get(event, now_s))
            n_at_once = next((n for prefix, n in N_AT_ONCE.items() if event.startswith(prefix)), 1)
            if now_s < due_s - (n_at_once - 1) * self._interval_s:
                self._n_suppressed[event] = self._n_suppressed.get(event, 0) + 1
                return False
            self._next_s[event] = due_s + self._interval_s
            n_suppressed = self._n_suppressed.pop(event, 0)
        if n_suppressed:
            record.msg = f"{event} suppressed={n_suppressed}"
        return True
