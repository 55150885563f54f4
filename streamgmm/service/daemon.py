"""Daemon: run the channels of all sources, analyse them in one worker thread, and publish to one hub."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from streamgmm.errors import ConfigError, StreamgmmError, UsageError
from streamgmm.records import Status
from streamgmm.service.channel import Channel
from streamgmm.service.clocks import REAL_CLOCKS, Clocks
from streamgmm.service.context import ChannelPlan, RunContext
from streamgmm.service.health import State, worst_of
from streamgmm.service.room_keeper import RoomKeeper
from streamgmm.service.status import status_line
from streamgmm.service.steps import end_all, serve
from streamgmm.service.switchboard import Switchboard, Switches
from streamgmm.service.turns import Turns
from streamgmm.service.watch import Watch, guard
from streamgmm.sinks.control import Command
from streamgmm.sinks.hub import Hub
from streamgmm.sinks.sink import start_thread

if TYPE_CHECKING:
    from streamgmm.service.clip_writer import ClipWriter

logger = logging.getLogger("streamgmm.daemon")

FINISH_S = 0.4
"""Longest wait of a stop for captured samples to be analysed (s); the rest is reported as in flight."""

DRAIN_S = 1.0
"""Longest wait of a stop for readers to collect the last records (s). All waits together keep a stop within two
seconds."""

SIGNAL_LOOK_S = 0.2
"""Interval at which the main thread checks for signals that were delivered to another thread (s)."""

STATUS_LOG_S = 5.0
"""Shortest interval between two status lines in the log (s), however often a status is requested."""

OnStatus = Callable[[str, str], None]


class Daemon:
    """Capture and analyse all sources until they end, `stop` is called, or something fails.

    Args:
        plans: sources with their models and settings; at least one, with distinct names.
        hub: receives the records; opened by `run` and closed at its end.
        run_id: identifier of the run, in each hello and at the beginning of event ids.
        is_device_required: whether a missing microphone ends the run; otherwise the run waits for it.
        clocks: clocks of the run.
        rooms: keeps what is learnt of the rooms of microphones; None if nothing is to be learnt.
        clips: writes recordings of events, and begins and ends with the hub; None if no audio is to be stored.
        on_status: receives every new state and its reason, one call at a time, from any thread; `stopping` at the end.
            Must not raise.

    Attributes:
        watch: monitors the progress of every thread.
    """

    def __init__(
        self,
        plans: Sequence[ChannelPlan],
        hub: Hub,
        *,
        run_id: str,
        is_device_required: bool = False,
        clocks: Clocks = REAL_CLOCKS,
        rooms: RoomKeeper | None = None,
        clips: ClipWriter | None = None,
        on_status: OnStatus = lambda state, detail: None,
    ) -> None:
        self._hub = hub
        self._clock = clocks.monotonic
        self._on_status = on_status
        self._turns: Turns[Channel] = Turns()
        self._switchboard = Switchboard(clocks, plans[0].setup.config.schedule)
        # Held during `on_status`, so that the service manager gets the states in their order.
        self._reporting = threading.Lock()
        # Replaced as a whole when sources are added or removed, so that any thread may iterate over it without a lock.
        self._channels: tuple[Channel, ...] = ()
        self._coming: tuple[Channel, ...] = ()
        self._n_made: Counter[str] = Counter()
        self.watch = Watch({"worker": self._has_work})
        self._context = RunContext(
            *(run_id, hub, self.watch, clocks, self._turns, self._switchboard, is_device_required, rooms, clips)
        )
        self._is_alone = len(plans) == 1 and not plans[0].source.is_named
        self._channels = tuple(map(self._make_channel, plans))
        self._reason: str | None = None
        self._failures: list[BaseException] = []
        # Not an Event: a signal handler would deadlock if it interrupted code that holds the event's lock. The `put` of
        # this queue is reentrant.
        self._requests: queue.SimpleQueue[Literal["end", "log"]] = queue.SimpleQueue()
        # Held while sources are started or exchanged: a reload may be asked for while a sink is still being opened.
        self._changing = threading.Lock()
        self._is_started = False
        self._is_over = threading.Event()
        self._logged_s = -math.inf
        self._room_thread: threading.Thread | None = None

    def run(self) -> None:
        """Open the sinks, run until the end, and close the sinks.

        Raises:
            StreamgmmError: a sink or a source cannot be opened, or the last source or the last sink failed for good.
            BaseException: an unexpected exception of a thread.
        """
        threads: list[threading.Thread] = []
        self._hub.greet_with(self.snapshots)
        self._hub.obey_with(self.obey)
        self._hub.open(self.fail)
        try:
            # The time since construction, e.g. for opening sinks, does not count as a hang.
            self.watch.forgive()
            if self._context.rooms:
                self._room_thread = start_thread(self._context.rooms.run, "rooms")
            with self._changing:
                self._is_started = True
                self._begin(self._channels)
            threads.append(start_thread(self._work, "worker"))
            threads.append(start_thread(lambda: guard(self.watch, self._is_over), "guard"))
            threads.append(start_thread(lambda: self._switchboard.run(self._switch, self._is_over), "switches"))
            while self._next_request() == "log":
                self._log_status()
        finally:
            self._on_status("stopping", self._reason or "end of input")
            self._wind_up(threads)
        failures = [*self._failures, *(error for channel in self._channels for error in channel.failures)]
        if failures:
            raise failures[0]

    def stop(self, reason: str) -> None:
        """Stop capturing, analyse the captured samples, and end the run; from any thread or a signal handler."""
        self._reason = self._reason or reason
        self._requests.put("end")

    def log_status(self) -> None:
        """Request that the status is logged soon; from any thread or a signal handler."""
        self._requests.put("log")

    def reopen_outputs(self) -> None:
        """Open output files again, as they may have been rotated; from any thread."""
        self._hub.reopen()

    def snapshots(self) -> list[Status]:
        """Return the current status of each source; may be called from any thread."""
        return [channel.snapshot() for channel in self._channels]

    def obey(self, command: Command, by: str) -> None:
        """Pause, resume, or switch labels off and on; from any thread, without waiting for the worker.

        Raises:
            UsageError: no model reports a label of that name, or only recordings are analysed.
        """
        live = [channel for channel in self._channels if channel.plan.source.is_live]
        if not live:
            raise UsageError("there is nothing to control: only recordings are analysed")
        self._switchboard.obey(command, {label for one in live for label in one.plan.setup.labels}, by)

    def fail(self, error: BaseException) -> None:
        """End the run because of `error`, which `run` then raises; from any thread."""
        self._failures.append(error)
        self.stop(str(error) if isinstance(error, StreamgmmError) else "internal error")

    def adopt(self, plans: Sequence[ChannelPlan]) -> None:
        """Replace the plans while running: sources that stay lose no sample, others are added or removed.

        A source that failed is tried again. Call from any thread except the worker's.

        Raises:
            ConfigError: a source cannot continue with its new plan; nothing changes then.
        """
        with self._changing:
            self._adopt(plans)

    def _adopt(self, plans: Sequence[ChannelPlan]) -> None:
        running = {channel.name: channel for channel in self._channels}
        staying = [plan for plan in plans if plan.source.name in running and self._is_kept(plan, running)]
        # Includes each source whose settings changed: a new channel takes the place of the old one.
        new = [plan for plan in plans if plan not in staying]
        if self._is_alone and new:
            raise ConfigError(["source.uri: needs restart"])
        # All plans are checked before any is adopted, so that a rejected reload changes nothing.
        for plan in staying:
            running[plan.source.name].check_adoptable(plan.setup)
        added = tuple(map(self._make_channel, new))
        for plan in staying:
            channel = running[plan.source.name]
            # One that is not changed goes on undisturbed: to adopt the same setup would end its open events.
            if not channel.over.is_set() and not plan.setup.is_same(channel.plan.setup):
                channel.adopt(plan.setup)
        kept = tuple(running[plan.source.name] for plan in staying)
        self._exchange(kept, added)
        # The schedule of all settings is the same; without sources there is nothing to switch.
        for plan in plans[:1]:
            self._switchboard.adopt(plan.setup.config.schedule)

    def _has_work(self) -> bool:
        # A recording waits for its readers without a limit, which is not a hang.
        is_waiting = any(channel.is_waiting_for_readers for channel in self._channels)
        return not is_waiting and any(channel.has_work for channel in self._channels)

    def _switch(self, switches: Switches) -> None:
        for channel in self._channels:
            channel.switch(switches)

    def _is_kept(self, plan: ChannelPlan, running: dict[str, Channel]) -> bool:
        channel = running[plan.source.name]
        same_source = plan.setup.config.source == channel.plan.setup.config.source
        # Its hello says whether it is required, and a source has one hello.
        same_source &= plan.is_required == channel.plan.is_required
        # A recording that has ended is not played again; a source that failed is retried.
        return same_source and not channel.failures

    def _exchange(self, kept: tuple[Channel, ...], added: tuple[Channel, ...]) -> None:
        if not self._is_started:
            # Those that go have not been told of yet, and `run` will begin the others.
            self._channels = (*kept, *added)
            return
        # The run goes on for these even if all that run now are dropped. Readers learn of them by their hello alone.
        self._coming = added
        end_all([channel for channel in self._channels if channel not in kept], "no longer in the settings", FINISH_S)
        self._channels = (*kept, *added)
        self._coming = ()
        self._begin(added)
        if not self._is_alone:
            with self._reporting:
                self._report_worst()

    def _make_channel(self, plan: ChannelPlan) -> Channel:
        name = plan.source.name
        self._n_made[name] += 1
        # A name may come again, with events of its own. No name of a source contains `~`.
        tag = name if self._n_made[name] == 1 else f"{name}~{self._n_made[name]}"
        return Channel(plan, self._context, self._report, tag="" if self._is_alone else tag)

    def _begin(self, channels: Sequence[Channel]) -> None:
        names = [] if self._is_alone else [channel.name for channel in self._channels]
        # All are announced before the first record of any.
        for channel in channels:
            channel.announce(names)
        for channel in channels:
            channel.start()

    def _next_request(self) -> Literal["end", "log"]:
        # Only the main thread runs Python signal handlers, but the kernel may deliver a signal to any thread, most
        # likely to one that starts a process. Without a timeout, this thread would stay blocked in the queue, and
        # the handler would never run.
        while True:
            with suppress(queue.Empty):
                return self._requests.get(timeout=SIGNAL_LOOK_S)

    def _wind_up(self, threads: list[threading.Thread]) -> None:
        """Stop all threads and close the hub, in bounded time even if a thread hangs."""
        self._is_over.set()
        for channel in (*self._coming, *self._channels):
            channel.stop(self._reason)
        self._turns.wake()
        # From now on no thread waits for a slow reader, so that each can end in time.
        self._hub.hurry()
        joins = [thread.join for thread in threads] + [channel.join for channel in self._channels]
        # Real time, which joins wait in, whatever the clocks of the run.
        deadline_s = time.monotonic() + FINISH_S
        for join in joins:
            join(max(0.0, deadline_s - time.monotonic()))
        for channel in self._channels:
            channel.abandon()
        deadline_s = time.monotonic() + DRAIN_S
        for join in joins:
            join(max(0.0, deadline_s - time.monotonic()))
        if self._context.rooms:
            # All channels have given their last state by now. Written while the hub closes, and no longer.
            self._context.rooms.end()
        self._hub.close(max(0.0, deadline_s - time.monotonic()))
        if self._room_thread:
            self._room_thread.join(max(0.0, deadline_s - time.monotonic()))

    def _work(self) -> None:
        """Run the worker thread: one hop of each channel that has any at a time, so that no source starves another."""
        try:
            # `_coming` first: what leaves it is in `_channels` by then.
            serve(self._turns, lambda: (*self._coming, *self._channels), self.watch, self._clock)
            self._hub.drain()
        except BaseException as error:
            self._failures.append(error)
        self._requests.put("end")

    def _report(self, state: State, detail: str) -> None:
        """Report the state of the only source, or the worst of several with the state of each by name."""
        with self._reporting:
            if self._is_alone:
                self._on_status(state, detail)
                return
            self._report_worst()

    def _report_worst(self) -> None:
        # A report waits until every source has a state of its own.
        if worst := worst_of({channel.name: channel.condition.current for channel in self._channels}):
            self._on_status(*worst)

    def _log_status(self) -> None:
        if self._clock() - self._logged_s >= STATUS_LOG_S:
            self._logged_s = self._clock()
            for status in self.snapshots():
                source = "" if self._is_alone else f"source={status.source} "
                logger.info("process.status %s%s", source, status_line(status))
