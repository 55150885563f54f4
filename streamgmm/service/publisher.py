"""Publisher of one source: date its records, publish them in order, and let nothing follow the last one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

import msgspec

from streamgmm.audio.choosing import PlannedSource
from streamgmm.records import Bye, R, Record, Stamper
from streamgmm.service.clocks import Clocks
from streamgmm.service.wall_clock import WallClock
from streamgmm.sinks.hub import Hub

logger = logging.getLogger("streamgmm.daemon")


class Publisher:
    """Stamp the records of one source with time and source, and publish them; may be used from any thread.

    Args:
        source: the source; records of a recording have no wall-clock time.
        hub: receives the stamped records.
        clocks: clocks of the run.
        busy: context that is active while the hub takes a record.
    """

    def __init__(
        self, source: PlannedSource, hub: Hub, clocks: Clocks, busy: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._hub = hub
        self._busy = busy
        self._wall_clock = WallClock(clocks.now, clocks.boot)
        self._stamper = Stamper(source.name, self._wall_clock.read() if source.is_live else None, source.pace)
        self._is_over = False
        self._last_t = 0.0
        # Capture, worker and reload threads publish.
        self._lock = threading.Lock()

    @property
    def n_clients(self) -> int:
        """Number of subscribers of all sinks at this moment."""
        return self._hub.n_clients

    def publish(self, *records: Record) -> None:
        """Publish records in order; those after a `bye` are discarded, e.g. a state that the capture reports late."""
        with self._lock:
            for record in records:
                if self._is_over:
                    break
                # A state is dated before the lock is taken, and the worker may have published a later hop meanwhile.
                if record.t < self._last_t:
                    record = msgspec.structs.replace(record, t=self._last_t)
                self._last_t = record.t
                self._keep_from_future(record.t)
                # A hub that does not return within the limits of the watchdog counts as a hang.
                with self._busy():
                    self._hub.publish(self._stamper.stamp(record))
                if isinstance(record, Bye):
                    self._is_over = True

    def stamp(self, record: R) -> R:
        """Return a copy of `record` with time and source, without publishing it."""
        return self._stamper.stamp(record)

    def date_start(self, age_s: float) -> None:
        """Set the wall-clock time of `t` = 0 to `age_s` seconds ago; only for a live source."""
        with self._lock:
            self._stamper.origin = self._wall_clock.read() - timedelta(seconds=age_s)

    def follow_wall_clock(self) -> None:
        """Correct the dates of later records after the system clock was set; cheap to call."""
        # Under the lock, so that no record gets its date from a half-updated origin.
        with self._lock:
            origin = self._stamper.origin
            if origin is not None and (step := self._wall_clock.take_step()):
                logger.warning("clock.stepped by_s=%.1f", step.total_seconds())
                self._stamper.origin = origin + step

    def _keep_from_future(self, t: float) -> None:
        # A late first block or a slightly fast device would date records after the moment they are published. As
        # `t` never decreases, the dates of successive records do not either.
        if self._stamper.origin is not None:
            latest = self._wall_clock.hour() - self._stamper.elapsed(t)
            self._stamper.origin = min(self._stamper.origin, latest)


class HeartbeatSchedule:
    """Stream times at which heartbeats are due: whole multiples of an interval.

    Args:
        interval_s: interval between heartbeats (s); 0 for none.
        t: stream time (s); heartbeats up to it are not due.
    """

    def __init__(self, interval_s: float, t: float = 0.0) -> None:
        self._interval_s = interval_s
        self._skip_to(t)

    def is_due(self, t: float) -> bool:
        """Return whether a heartbeat is due at stream time `t` (s); call once, as the next one is scheduled then."""
        if not self._interval_s or t < self._next_s:
            return False
        # Heartbeats that fell into a long gap are skipped instead of sending many at once.
        self._skip_to(t)
        return True

    def _skip_to(self, t: float) -> None:
        self._next_s = (t // self._interval_s + 1.0) * self._interval_s if self._interval_s else 0.0
