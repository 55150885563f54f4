"""Report readiness, state and liveness of a daemon to the service manager that started it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamgmm.service.notify import Notifier
from streamgmm.sinks.sink import start_thread

logger = logging.getLogger("streamgmm.watchdog")

FEEDS_PER_TIMEOUT = 3.0
"""Number of liveness checks within the timeout of the manager, so that one message may be late."""


class Supervision:
    """Report the state of the daemon to the service manager.

    Args:
        notifier: sends messages to the manager.
    """

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._is_ready = False
        self._state = "starting"
        self._reload_outcome = ""

    @property
    def is_watched(self) -> bool:
        """Return whether the manager expects keep-alive messages."""
        return self._notifier.watchdog_s is not None

    def on_status(self, state: str, detail: str) -> None:
        """Report a new state of the daemon; may be called from any thread.

        The first state makes the daemon ready: either audio flows, or the status line reports what it waits for.
        """
        if state == "stopping":
            self._notifier.stopping()
        elif not self._is_ready:
            # False if the message could not be sent: the next state tries again.
            self._is_ready = self._notifier.ready()
        self._state = f"{state}: {detail}"
        self._tell_status()

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Report a reload to the manager for the duration of this context."""
        # The end of a reload sends READY=1, which must not come from a daemon that has not been ready yet.
        is_told = self._is_ready and self._notifier.reloading()
        try:
            yield
        finally:
            if is_told:
                self._notifier.ready()

    def on_reload(self, outcome: str) -> None:
        """Show the outcome of a reload in the status line until the next reload; empty after a successful one."""
        self._reload_outcome = outcome
        self._tell_status()

    @contextmanager
    def watching(self, is_alive: Callable[[], bool]) -> Iterator[None]:
        """Send keep-alive messages, if the manager expects them, as long as `is_alive` returns True."""
        ended = threading.Event()
        if self._notifier.watchdog_s is not None:
            interval_s = self._notifier.watchdog_s / FEEDS_PER_TIMEOUT
            # Not joined at the end: this daemon thread only waits for `ended` or sends a datagram.
            start_thread(lambda: self._feed(is_alive, interval_s, ended), "watchdog")
        try:
            yield
        finally:
            ended.set()

    def _feed(self, is_alive: Callable[[], bool], interval_s: float, ended: threading.Event) -> None:
        was_alive = True
        while not ended.wait(interval_s):
            if is_now := is_alive():
                self._notifier.watchdog()
            elif was_alive:
                logger.error("watchdog.starved: no sign of life while nothing moves")
            was_alive = is_now

    def _tell_status(self) -> None:
        self._notifier.status("; ".join(filter(None, [self._state, self._reload_outcome])))
