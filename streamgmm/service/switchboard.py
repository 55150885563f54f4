"""Switchboard: whether the daemon listens, and which labels are off, by schedule and by command."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from streamgmm.errors import UsageError
from streamgmm.labels import RESERVED
from streamgmm.records import End, Record, Start, Update
from streamgmm.service.clocks import Clocks
from streamgmm.settings.schedule import OffSection, off_at
from streamgmm.sinks.control import Command
from streamgmm.wording import did_you_mean, shorten

logger = logging.getLogger("streamgmm.control")

LOOK_S = 0.2
"""Interval at which a change is looked for (s)."""


class Switches(NamedTuple):
    """The state of all switches at one moment.

    Attributes:
        is_paused: whether all labels are off.
        until_s: boot time when the pause ends by itself (s, see `Clocks`); None if it does not.
        off: labels that are switched off.
    """

    is_paused: bool = False
    until_s: float | None = None
    off: frozenset[str] = frozenset()

    def is_off(self, label: str) -> bool:
        """Return whether events of `label` are not reported."""
        return self.is_paused or label in self.off

    def admitted(self, records: list[Record]) -> list[Record]:
        """Return the records that may be reported: all but events of labels that are off."""
        # Every hop passes through the decider in any case, so that smoothing, room and gates are right when a label is
        # switched on again. Only the records of events are withheld, and `Decider.cut` ends events at each switch.
        if not (self.is_paused or self.off):
            return records
        return [one for one in records if not (isinstance(one, Start | Update | End) and self.is_off(one.label))]


class Switchboard:
    """Keeps the switches of a run; may be used from any thread.

    Nothing of it is stored: a daemon that was restarted listens, rather than stays silent without anybody's knowledge.

    Commands hold until the schedule switches something next.

    Args:
        clocks: clocks of the run.
        schedule: times at which labels are off.
        local: returns the local time of a moment.
    """

    def __init__(
        self,
        clocks: Clocks,
        schedule: Sequence[OffSection] = (),
        local: Callable[[datetime], datetime] = datetime.astimezone,
    ) -> None:
        self._clocks = clocks
        self._schedule = schedule
        self._local = local
        self._lock = threading.Lock()
        self._is_paused = False
        self._until_s: float | None = None
        self._off: frozenset[str] = frozenset()
        # What the schedule said last: only a change of it switches anything.
        self._scheduled: tuple[bool, frozenset[str]] = (False, frozenset())

    @property
    def switches(self) -> Switches:
        """The switches at this moment."""
        with self._lock:
            self._follow_schedule()
            if self._until_s is not None and self._clocks.boot() >= self._until_s:
                # Back to the schedule, which may pause as well.
                self._is_paused, self._until_s = self._scheduled[0], None
                logger.info("control.pause_over paused=%s", self._is_paused)
            return Switches(self._is_paused, self._until_s, self._off)

    @property
    def left_s(self) -> float | None:
        """Time until the pause ends by itself (s); None if there is none, or it does not."""
        until_s = self.switches.until_s
        return None if until_s is None else round(max(0.0, until_s - self._clocks.boot()), 1)

    def adopt(self, schedule: Sequence[OffSection]) -> None:
        """Use another schedule from now on."""
        with self._lock:
            self._schedule = schedule

    def _follow_schedule(self) -> None:
        scheduled = off_at(self._schedule, self._local(self._clocks.now())) if self._schedule else (False, frozenset())
        if scheduled != self._scheduled:
            self._scheduled = scheduled
            self._is_paused, self._off = scheduled
            self._until_s = None
            logger.info("schedule.switched paused=%s off=%s", self._is_paused, ",".join(sorted(self._off)) or "none")

    def obey(self, command: Command, labels: Collection[str], by: str) -> None:
        """Set switches.

        Args:
            command: the command.
            labels: labels of all models in use.
            by: description of the client, for the log.

        Raises:
            UsageError: the command names a label that no model reports.
        """
        _check_labels(command.labels, labels)
        with self._lock:
            # First, so that a change of the schedule before the command does not undo it afterwards.
            self._follow_schedule()
            match command.action:
                case "pause":
                    self._is_paused = True
                    self._until_s = None if command.for_s is None else self._clocks.boot() + command.for_s
                case "resume":
                    self._is_paused, self._until_s = False, None
                case "off":
                    self._off |= set(command.labels)
                case "on":
                    self._off -= set(command.labels)
        length = "" if command.for_s is None else f" for_s={command.for_s:g}"
        names = f" labels={','.join(command.labels)}" if command.labels else ""
        logger.info("control.obeyed action=%s%s%s by=%s", command.action, length, names, by)

    def run(self, apply: Callable[[Switches], None], is_over: threading.Event) -> None:
        """Call `apply` with the switches again and again, until `is_over` is set; it is cheap if nothing changed."""
        while not is_over.wait(LOOK_S):
            apply(self.switches)


def _check_labels(wanted: Sequence[str], labels: Collection[str]) -> None:
    known = set(labels) - RESERVED
    for label in wanted:
        if label not in known:
            hint = did_you_mean(label, known) or f"there are {', '.join(sorted(known))}"
            raise UsageError(f"no model reports the label {shorten(label)!r}", hint=hint)
