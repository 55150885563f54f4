"""Between a daemon and the service manager that started it: readiness, state, and signs of life."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamgmm.service.notify import Notifier
from streamgmm.sinks.sink import start_thread

logger = logging.getLogger("streamgmm.watchdog")

FEEDS_PER_TIMEOUT = 3.0
"""How often within the manager's patience the daemon is asked whether it moves; one answer may come late."""


class Supervision:
    """Tells the manager how the daemon is.

    Args:
        notifier: speaks to the manager.
    """

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._is_ready = False
        self._state = "starting"
        self._reload_outcome = ""

    @property
    def is_watched(self) -> bool:
        """Whether the manager wants signs of life."""
        return self._notifier.watchdog_s is not None

    def on_status(self, state: str, detail: str) -> None:
        """The daemon is in another state; from any thread.

        The first state makes it ready: audio flows, or it is missing and being tried for, which is told.
        """
        if state == "stopping":
            self._notifier.stopping()
        elif not self._is_ready:
            self._is_ready = self._notifier.ready()
        self._state = f"{state}: {detail}"
        self._tell_status()

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """While settings are read again."""
        # A daemon that has not been ready yet must not become so by a reload.
        is_told = self._is_ready and self._notifier.reloading()
        try:
            yield
        finally:
            if is_told:
                self._notifier.ready()

    def on_reload(self, outcome: str) -> None:
        """What came of a reload, for as long as nothing else comes of another; empty: all is well."""
        self._reload_outcome = outcome
        self._tell_status()

    @contextmanager
    def watching(self, is_alive: Callable[[], bool]) -> Iterator[None]:
        """Give signs of life, if the manager wants them, while `is_alive` says that there is life."""
        ended = threading.Event()
        if self._notifier.watchdog_s is not None:
            interval_s = self._notifier.watchdog_s / FEEDS_PER_TIMEOUT
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
