"""Publisher of one source: date its records, publish them in order, and let nothing follow the last one."""

from __future__ import annotations

import logging
import math
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

LATE_LOOK_S = 60.0
"""Interval at which dates are compared with the clock (s): in so long, some record is published without delay."""

MAX_LATE_S = 1.0
"""How far dates may fall behind the clock (s)."""


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
        self._lateness = Lateness()
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

    def correct_dates(self, *, is_caught_up: bool) -> None:
        """Correct the dates of later records if they differ from the system clock; cheap to call after each hop.

        They do after the clock was set, and when fewer samples come than time passes: a sound card may be slow, and a
        stream may lose some of its sound.

        Args:
            is_caught_up: whether nothing else waits to be analysed, so that the last record is not late for that.
        """
        # Under the lock, so that no record gets its date from a half-updated origin.
        with self._lock:
            origin = self._stamper.origin
            if origin is None:
                return
            if step := self._wall_clock.take_step():
                logger.warning("clock.stepped by_s=%.1f", step.total_seconds())
                origin += step
            if is_caught_up:
                now = self._wall_clock.hour()
                late = now - origin - self._stamper.elapsed(self._last_t)
                origin += timedelta(seconds=self._lateness.excess_s(late.total_seconds(), now.timestamp()))
            self._stamper.origin = origin

    def _keep_from_future(self, t: float) -> None:
        # A late first block or a slightly fast device would date records after the moment they are published. As
        # `t` never decreases, the dates of successive records do not either.
        if self._stamper.origin is not None:
            latest = self._wall_clock.hour() - self._stamper.elapsed(t)
            self._stamper.origin = min(self._stamper.origin, latest)


class Lateness:
    """How long after their dates records are published, and by how much that has grown.

    Single records may be late for many reasons, but if none of a minute is as early as they were, the dates are late.
    """

    def __init__(self) -> None:
        self._usual_s: float | None = None
        self._least_s = math.inf
        self._look_s: float | None = None

    def excess_s(self, late_s: float, now_s: float) -> float:
        """Return by how much later to date records from now on (s), mostly 0.

        Args:
            late_s: time from the date of the last record to its publication (s).
            now_s: time of this call (s), by a clock that is never set.
        """
        self._look_s = now_s + LATE_LOOK_S if self._look_s is None else self._look_s
        self._least_s = min(self._least_s, late_s)
        if now_s < self._look_s:
            return 0.0
        least_s, self._least_s, self._look_s = self._least_s, math.inf, now_s + LATE_LOOK_S
        self._usual_s = least_s if self._usual_s is None else min(self._usual_s, least_s)
        excess_s = least_s - self._usual_s
        return excess_s if excess_s > MAX_LATE_S else 0.0


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
