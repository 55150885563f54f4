"""One source at work: its ring, its analysis, its clock, its account and its condition."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

import msgspec

from streamgmm import units
from streamgmm.audio.choosing import PlannedSource
from streamgmm.audio.ring import Ring
from streamgmm.errors import ConfigError, StreamgmmError
from streamgmm.records import Bye, Health, Record, Stamper, Status
from streamgmm.service.account import Account
from streamgmm.service.capture import Capture, CaptureListener
from streamgmm.service.clocks import Clocks
from streamgmm.service.greeting import make_hello, make_model_record, model_info
from streamgmm.service.health import Condition, State
from streamgmm.service.session import Setup, begin_session
from streamgmm.service.wall_clock import WallClock
from streamgmm.service.watch import Watch
from streamgmm.service.worker import Worker
from streamgmm.sinks.hub import Hub
from streamgmm.sinks.sink import start_thread

logger = logging.getLogger("streamgmm.daemon")

RECORDING_RING_S = 4.0
"""A recording waits for its reader, so it needs no more of a ring than keeps the reader busy."""


class ChannelPlan(NamedTuple):
    """A source and what it is run with.

    Attributes:
        source: what to listen to.
        setup: model and settings.
        is_required: whether `streamgmm status` fails while no audio flows from it.
    """

    source: PlannedSource
    setup: Setup
    is_required: bool = True


class RunContext(NamedTuple):
    """What the channels of one run share.

    Attributes:
        run_id: goes into each hello.
        hub: receives the records.
        watch: notes whether every thread still moves.
        clocks: where the time is read.
        wake: called when there is something to analyse; from any thread.
        is_device_required: whether a missing microphone is an error instead of something to wait for.
    """

    run_id: str
    hub: Hub
    watch: Watch
    clocks: Clocks
    wake: Callable[[], None]
    is_device_required: bool


class Channel:
    """Captures one source in a thread of its own; a worker that serves all channels analyses it step by step.

    Args:
        plan: the source, and what it is run with.
        context: what all channels share.
        on_change: receives each new state and its reason, from any thread.
        is_alone: whether there is no other channel; ids of events and names of threads then do not name the source.

    Attributes:
        plan: as given, or as adopted since.
        reason: why it ends; None while nobody said so.
        failures: what it failed of.
        over: set when its last record is out.
    """

    def __init__(
        self, plan: ChannelPlan, context: RunContext, on_change: Callable[[State, str], None], *, is_alone: bool
    ) -> None:
        spec, clocks = plan.setup.model.spec, context.clocks
        self.plan = plan
        self.reason: str | None = None
        self.failures: list[BaseException] = []
        self.over = threading.Event()
        self._context = context
        self._on_change = on_change
        self._suffix = "" if is_alone else f" {plan.source.name}"
        self._id_prefix = context.run_id if is_alone else f"{context.run_id}-{plan.source.name}"
        self._started_s = clocks.monotonic()
        self._wall_clock = WallClock(clocks.now, clocks.boot)
        self._ring = _make_ring(plan, context.wake)
        self.condition = Condition(self._report)
        listener = CaptureListener(
            on_state=self.condition.say_capture,
            on_move=lambda: context.watch.move(self._part("capture")),
            on_failure=self._on_capture_failure,
        )
        self._capture = Capture(
            plan.source,
            self._ring,
            spec.sample_rate_hz,
            listener,
            clocks,
            is_device_required=context.is_device_required,
        )
        session = begin_session(plan.setup, self._id_prefix)
        may_skip = plan.source.is_live
        self._worker = Worker(
            self._ring, session, self.condition, context.watch, may_skip=may_skip, clock=clocks.monotonic
        )
        self._account = Account(self._ring, self._worker, spec.sample_rate_hz)
        self._stamper = Stamper(plan.source.name, self._wall_clock.read() if plan.source.is_live else None)
        self._heartbeat_s = self._next_heartbeat_s = plan.setup.config.output.heartbeat_s
        # Held while a stretch is analysed, so that whoever holds it finds the analysis between two.
        self._turn = threading.Lock()
        self._publishing = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        """What records call the source."""
        return self.plan.source.name

    @property
    def has_work(self) -> bool:
        """Whether a whole hop waits to be analysed."""
        return self._ring.waiting_samples >= self.plan.setup.model.spec.hop_samples

    def announce(self, sources: list[str]) -> None:
        """Publish the hello, in which `sources` are the names of all, if there are several."""
        hello = make_hello(self.plan.setup.model, self._context.run_id, sources, is_required=self.plan.is_required)
        self._publish(hello)

    def start(self) -> None:
        """Start the capture; what was heard is analysed by `step`."""
        watch = self._context.watch
        if self.plan.source.is_live:
            watch.add(self._part("capture"), lambda: not self._capture.is_over)
            watch.add(self._part("writer"), lambda: False)
        self._thread = start_thread(self._run_capture, self._part("capture"))

    def step(self) -> bool:
        """Analyse one hop, if one waits; from the worker's thread. Returns whether there was one.

        At the end of the source it publishes the last records and sets `over`.
        """
        if self.over.is_set():
            return False
        with self._turn:
            try:
                stretch = self._worker.next_stretch()
                if stretch is not None:
                    if stretch.gap_reason is None and not len(stretch.samples):
                        return False
                    self._publish(*self._worker.records_of(stretch))
                    self._beat()
                    self._follow_wall_clock()
                    self._worker.skip_if_overloaded()
                    return True
                self._publish(*self._worker.pipeline.flush())
            except BaseException as error:
                self.note(error)
            self._finish()
        return False

    def stop(self, reason: str | None) -> None:
        """Stop capturing; what was captured is still analysed, and `bye` gives the reason. From any thread."""
        self.reason = self.reason or reason
        self._capture.stop()

    def abandon(self) -> None:
        """Stop analysing at once; what was captured stays in flight."""
        self._ring.close()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the capture thread."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def note(self, error: BaseException) -> None:
        """Take note of what the channel failed of, which the run reports at its end."""
        self.reason = self.reason or (str(error) if isinstance(error, StreamgmmError) else "internal error")
        self.failures.append(error)

    def snapshot(self) -> Status:
        """Return its condition at this moment; from any thread."""
        status = self._make_status(*self.condition.current)
        return msgspec.structs.replace(status, time=self._stamper.time_of(status.t), source=self._stamper.source)

    def check_adoptable(self, setup: Setup) -> None:
        """Refuse a model that this channel cannot go on with.

        Raises:
            ConfigError: it works at another rate, its hop is too long for the ring, or the settings name a label
                that it does not have.
        """
        model, spec, running = setup.model, setup.model.spec, self.plan.setup.model.spec
        if spec.sample_rate_hz != running.sample_rate_hz:
            rates = f"{spec.sample_rate_hz} Hz, not {running.sample_rate_hz} Hz"
            raise ConfigError([f"model {model.name} works at {rates}: needs restart"])
        if 2 * spec.hop_samples > self._ring.capacity_samples:
            raise ConfigError([f"the hop of model {model.name} is too long for the ring as it is: needs restart"])
        begin_session(setup, self._id_prefix)

    def adopt(self, setup: Setup) -> None:
        """Go on with `setup` from the very sample at which the analysis is; the capture goes on as it is.

        Open events end, then a `model` record names other labels. From any thread but the worker's.

        Raises:
            ConfigError: it cannot be (see `check_adoptable`); all goes on as before then.
        """
        self.check_adoptable(setup)
        successor = begin_session(setup, self._id_prefix)
        with self._turn:
            before = self._worker.pipeline
            self._publish(*before.decider.flush())
            # Before it is announced: if the new model fails on the samples at hand, the old one goes on.
            records = successor.pipeline.continue_from(before)
            if make_model_record(setup.model, 0.0) != make_model_record(self.plan.setup.model, 0.0):
                self._publish(make_model_record(setup.model, self._account.analysed_s))
            self._publish(*records)
            self._worker.adopt(successor)
            self.plan = self.plan._replace(setup=setup)
            self._heartbeat_s = setup.config.output.heartbeat_s
            self._schedule_heartbeat(self._account.analysed_s)

    def _part(self, name: str) -> str:
        return f"{name}{self._suffix}"

    def _run_capture(self) -> None:
        try:
            with suppress(BaseException):  # noted by `_on_capture_failure`, and raised at the end of the run
                self._capture.run()
        finally:
            self.plan.source.close()

    def _on_capture_failure(self, error: BaseException) -> None:
        self.note(error)
        if self._suffix:
            # The others go on: readers and `status` see that this one does not.
            logger.error("source.failed source=%s reason=%s", self.name, self.reason)
            self.condition.say_capture("lost", self.reason or "")

    def _finish(self) -> None:
        """Publish the last record."""
        self._ring.close()
        bye = self._account.make_bye(self.reason or "end of input")
        logger.info(
            "process.stopped%s reason=%s captured=%d analysed=%d lost=%d source_lost=%d in_flight=%d",
            self._suffix and f" source={self.name}",
            *(bye.reason, bye.captured_samples, bye.analysed_samples, bye.lost_samples),
            *(self._account.balance.source_lost_samples, bye.in_flight_samples),
        )
        self._publish(bye)
        for name in ("capture", "writer"):
            self._context.watch.drop(self._part(name))
        self.over.set()

    def _publish(self, *records: Record) -> None:
        with self._publishing:
            # The capture thread may still have something to say when the last record is out.
            for record in () if self.over.is_set() else records:
                self._keep_from_future(record.t)
                with self._context.watch.busy(self._part("writer")):
                    self._context.hub.publish(self._stamper.stamp(record))
                if isinstance(record, Bye):
                    self.over.set()

    def _report(self, state: State, detail: str) -> None:
        """Report the new state in log and stream; to readers of a recording, its states are of no use."""
        log = logger.info if state == "ok" else logger.warning
        log("capture.state%s state=%s reason=%s", self._suffix and f" source={self.name}", state, detail)
        if self.plan.source.is_live:
            if self._ring.counts.captured_samples == 0:
                # The clock of the stream stands at 0 until the first sample: 0 is now, or when that was heard.
                heard_s = self._capture.first_heard_s
                age_s = 0.0 if heard_s is None else max(0.0, self._context.clocks.monotonic() - heard_s)
                self._stamper.origin = self._wall_clock.read() - timedelta(seconds=age_s)
            self._publish(self._make_status(state, detail))
        self._on_change(state, detail)

    def _make_status(self, state: State, detail: str) -> Status:
        return Status(t=self._account.analysed_s, state=state, detail=detail, health=self._make_health())

    def _make_health(self) -> Health:
        worker, balance = self._worker, self._account.balance
        return Health(
            level_dbfs=_rounded(worker.signal.level_dbfs, 1),
            uptime_s=round(self._context.clocks.monotonic() - self._started_s, 3),
            captured_samples=balance.captured_samples,
            analysed_samples=balance.analysed_samples,
            in_flight_samples=balance.in_flight_samples,
            lost_samples=self._account.lost_by_reason,
            n_clipped_samples=worker.signal.n_clipped_samples,
            n_reopened=self._capture.n_reopened,
            n_failures=worker.failures.n_failures,
            n_clients=self._context.hub.n_clients,
            rtf=_rounded(worker.rtf.value, 4),
            drift_ppm=_rounded(self._capture.drift_ppm, 1),
            model=model_info(self.plan.setup.model),
        )

    def _beat(self) -> None:
        t = self._account.analysed_s
        if self._heartbeat_s and t >= self._next_heartbeat_s:
            self._schedule_heartbeat(t)
            self._publish(self._account.make_heartbeat())

    def _schedule_heartbeat(self, t: float) -> None:
        # The next one that is still to come: a long gap is no reason for many of them at once.
        if self._heartbeat_s:
            self._next_heartbeat_s = (t // self._heartbeat_s + 1.0) * self._heartbeat_s

    def _keep_from_future(self, t: float) -> None:
        # A first block that came late, or a device that is a little fast: nothing is dated after it is reported. As
        # `t` never falls, neither does the date of one record after another.
        if self._stamper.origin is not None:
            latest = self._wall_clock.hour() - timedelta(seconds=t)
            self._stamper.origin = min(self._stamper.origin, latest)

    def _follow_wall_clock(self) -> None:
        with self._publishing:
            origin = self._stamper.origin
            if origin is not None and (step := self._wall_clock.take_step()):
                logger.warning("clock.stepped by_s=%.1f", step.total_seconds())
                self._stamper.origin = origin + step


def _make_ring(plan: ChannelPlan, wake: Callable[[], None]) -> Ring:
    spec, ring_s = plan.setup.model.spec, plan.setup.config.source.ring_s
    kept_s = ring_s if plan.source.is_live else min(ring_s, RECORDING_RING_S)
    capacity_samples = max(units.seconds_to_samples(kept_s, spec.sample_rate_hz), 2 * spec.hop_samples)
    return Ring(capacity_samples, is_lossy=plan.source.is_live, on_change=wake)


def _rounded(value: float | None, n_decimals: int) -> float | None:
    return None if value is None else round(value, n_decimals)
