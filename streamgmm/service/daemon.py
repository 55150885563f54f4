"""One run: a capture thread fills the ring, a worker thread turns it into records for the sinks."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from streamgmm import units
from streamgmm.audio.ring import Ring
from streamgmm.audio.source import Source
from streamgmm.config import Config
from streamgmm.errors import ConfigError, StreamgmmError
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline
from streamgmm.records import Bye, Health, Record, Stamper, Status
from streamgmm.service.account import Account
from streamgmm.service.capture import Capture
from streamgmm.service.greeting import make_hello, make_model_record, model_info
from streamgmm.service.health import Condition, State
from streamgmm.service.sleep_clock import boot_time
from streamgmm.service.status import status_line
from streamgmm.service.wall_clock import WallClock
from streamgmm.service.watch import Watch, guard
from streamgmm.service.worker import Worker
from streamgmm.sinks.hub import Hub
from streamgmm.sinks.sink import start_thread

logger = logging.getLogger("streamgmm.daemon")

FINISH_S = 0.4
"""How long a stop waits for what was captured to be analysed; the rest stays in flight, and is told."""

DRAIN_S = 1.0
"""How long a stop waits for readers to collect the last records. All waits together keep it within two seconds."""

SIGNAL_LOOK_S = 0.2
"""How often the main thread looks for a signal that woke another thread."""

STATUS_LOG_S = 5.0
"""The status is logged once in so long, however often it is asked for: twelve lines a minute at most."""

OnStatus = Callable[[str, str], None]


def utc_now() -> datetime:
    """Wall-clock time; used to date the first sample, never to measure."""
    return datetime.now(UTC)


class Daemon:
    """Listens until the source ends, `stop` is called, or something fails.

    Args:
        model: what to recognise.
        config: how to decide and whom to tell.
        make_source: a fresh source, not yet opened; called again whenever a live one fails.
        hub: opened here and closed at the end.
        run_id: goes into the hello and the ids of events.
        is_device_required: whether a missing microphone ends the run instead of being waited for.
        clock: seconds, monotonic.
        boot_clock: seconds, monotonic, going on while the machine sleeps.
        now: wall-clock time.
        on_status: is told every change of state, and why; one call at a time, from any thread; at the end `stopping`.
            Must not raise.

    Attributes:
        watch: knows whether every thread still moves.
    """

    def __init__(
        self,
        model: Model,
        config: Config,
        make_source: Callable[[], Source],
        hub: Hub,
        *,
        run_id: str,
        is_device_required: bool = False,
        clock: Callable[[], float] = time.monotonic,
        boot_clock: Callable[[], float] = boot_time,
        now: Callable[[], datetime] = utc_now,
        on_status: OnStatus = lambda state, detail: None,
    ) -> None:
        with closing(make_source()) as source:
            self._is_live, name = source.is_live, source.name
        rate_hz = model.spec.sample_rate_hz
        self._model = model
        self._heartbeat_s = config.output.heartbeat_s
        self._next_heartbeat_s = self._heartbeat_s
        self._hub = hub
        self._run_id = run_id
        # Held while the worker is in a stretch, so that whoever holds it finds the worker between two.
        self._turn = threading.Lock()
        self._wall_clock = WallClock(now, boot_clock)
        self._clock = clock
        self._started_s = clock()
        self._on_status = on_status
        self._ring = Ring(
            max(units.seconds_to_samples(config.source.ring_s, rate_hz), 2 * model.spec.hop_samples),
            is_lossy=self._is_live,
        )
        self._capture = Capture(
            make_source,
            self._ring,
            rate_hz,
            on_state=lambda state, detail: self._condition.say_capture(state, detail),
            is_device_required=is_device_required,
            clock=clock,
            boot_clock=boot_clock,
            on_move=lambda: self.watch.move("capture"),
        )
        self._condition = Condition(self._on_change)
        self.watch = self._make_watch()
        self._worker = Worker(
            self._ring,
            Pipeline(model, config, run_id),
            model,
            condition=self._condition,
            watch=self.watch,
            silence_gate_dbfs=config.decision.silence_gate_dbfs,
            may_skip=self._is_live,
            clock=clock,
        )
        self._account = Account(self._ring, self._worker, rate_hz)
        self._stamper = Stamper(name, self._wall_clock.read() if self._is_live else None)
        self._publishing = threading.Lock()
        self._has_said_bye = False
        self._reason: str | None = None
        self._failures: list[BaseException] = []
        # Not an event: its lock could be held by the very code that a signal handler interrupts.
        self._requests: queue.SimpleQueue[Literal["end", "log"]] = queue.SimpleQueue()
        self._is_over = threading.Event()
        self._logged_s = -math.inf

    def run(self) -> None:
        """Open the sinks, listen, and close them again.

        Raises:
            StreamgmmError: a sink or the source cannot be had, the source failed for good, or the last sink did.
            BaseException: what a thread failed of that should not have failed.
        """
        threads: list[threading.Thread] = []
        self._hub.greet_with(self.snapshot)
        self._hub.open(self.fail)
        try:
            self._publish(make_hello(self._model, self._run_id))
            self.watch.forgive()
            threads.append(start_thread(self._work, "worker"))
            threads.append(start_thread(lambda: self._attempt(self._capture.run), "capture"))
            threads.append(start_thread(lambda: guard(self.watch, self._is_over), "guard"))
            while self._next_request() == "log":
                self._log_status()
        finally:
            self._on_status("stopping", self._reason or "end of input")
            self._wind_up(threads)
        if self._failures:
            raise self._failures[0]

    def stop(self, reason: str) -> None:
        """Stop capturing, analyse what was captured, and end the run; from any thread or a signal handler."""
        self._reason = self._reason or reason
        self._requests.put("end")

    def log_status(self) -> None:
        """Have the status logged soon; from any thread or a signal handler."""
        self._requests.put("log")

    def reopen_outputs(self) -> None:
        """Open files that are written to anew, as they may have been rotated; from any thread."""
        self._hub.reopen()

    def snapshot(self) -> Status:
        """How it stands at this moment; from any thread."""
        status = self._make_status(*self._condition.current)
        return msgspec.structs.replace(status, time=self._stamper.time_of(status.t), source=self._stamper.source)

    def fail(self, error: BaseException) -> None:
        """End the run because of `error`, which `run` then raises; from any thread."""
        self._note(error)
        self._requests.put("end")

    def check_adoptable(self, model: Model) -> None:
        """Refuse a model that this run cannot go on with.

        Raises:
            ConfigError: it works at another rate, or its hop is too long for the ring.
        """
        rate_hz, needed_samples = model.spec.sample_rate_hz, 2 * model.spec.hop_samples
        if rate_hz != self._model.spec.sample_rate_hz:
            raise ConfigError(
                [f"model {model.name} works at {rate_hz} Hz, not {self._model.spec.sample_rate_hz} Hz: needs restart"]
            )
        if needed_samples > self._ring.capacity_samples:
            raise ConfigError([f"the hop of model {model.name} is too long for the ring as it is: needs restart"])

    def adopt(self, model: Model, config: Config) -> None:
        """Go on with `model` and `config` from the very sample at which the analysis is; the capture goes on as it is.

        Open events end, then a `model` record tells of other labels. From any thread but the worker's.

        Raises:
            ConfigError: it cannot be (see `check_adoptable`), or the settings name a label that the model does not
                have; all goes on as before then.
        """
        self.check_adoptable(model)
        successor = Pipeline(model, config, self._run_id)
        with self._turn:
            before = self._worker.pipeline
            self._publish(*before.decider.flush())
            # Before it is announced: if the new model fails on the samples at hand, the old one goes on.
            records = successor.continue_from(before)
            if make_model_record(model, 0.0) != make_model_record(self._model, 0.0):
                self._publish(make_model_record(model, self._account.analysed_s))
            self._publish(*records)
            self._worker.adopt(successor, model, config.decision.silence_gate_dbfs)
            self._model = model
            self._heartbeat_s = config.output.heartbeat_s
            self._schedule_heartbeat(self._account.analysed_s)

    def _next_request(self) -> Literal["end", "log"]:
        # Only the main thread runs handlers of signals, and the system may hand a signal to any other, most
        # likely to one that starts a process: this one would sleep on in the lock of the queue, and never know.
        while True:
            with suppress(queue.Empty):
                return self._requests.get(timeout=SIGNAL_LOOK_S)

    def _wind_up(self, threads: list[threading.Thread]) -> None:
        """End everything, in bounded time whatever hangs; all of it has ended before if the source has."""
        self._is_over.set()
        self._capture.stop()
        self._hub.hurry()
        deadline_s = time.monotonic() + FINISH_S
        for thread in threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        self._ring.close()
        deadline_s = time.monotonic() + DRAIN_S
        for thread in threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        self._hub.close(max(0.0, deadline_s - time.monotonic()))

    def _work(self) -> None:
        """The worker thread: from the ring through the pipeline to the sinks, to the last word."""
        self._attempt(self._analyse)
        self._ring.close()
        self._attempt(self._say_bye)
        self._requests.put("end")

    def _attempt(self, act: Callable[[], None]) -> None:
        # Whatever it is, `run` raises it: a thread that dies in silence would leave a daemon that hears nothing.
        try:
            act()
        except BaseException as error:
            self._note(error)

    def _note(self, error: BaseException) -> None:
        self._reason = self._reason or (str(error) if isinstance(error, StreamgmmError) else "internal error")
        self._failures.append(error)

    def _make_watch(self) -> Watch:
        if not self._is_live:
            # A recording and its reader may wait as long as they like; only work that was begun has to end.
            return Watch({"worker": lambda: False})
        return Watch(
            {
                "capture": lambda: not self._capture.is_over,
                "worker": lambda: self._ring.waiting_samples >= self._model.spec.hop_samples,
                "writer": lambda: False,
            }
        )

    def _analyse(self) -> None:
        while (stretch := self._worker.next_stretch()) is not None:
            with self._turn:
                self._publish(*self._worker.records_of(stretch))
                self._beat()
                self._follow_wall_clock()
        with self._turn:
            self._publish(*self._worker.pipeline.flush())

    def _publish(self, *records: Record) -> None:
        with self._publishing:
            # The capture thread may still have something to say when the last record is out.
            for record in () if self._has_said_bye else records:
                self._keep_from_future(record.t)
                with self.watch.busy("writer"):
                    self._hub.publish(self._stamper.stamp(record))
                self._has_said_bye = isinstance(record, Bye)

    def _on_change(self, state: State, detail: str) -> None:
        """Tell log and stream how it stands now; to those who listen to a recording, its states are of no use."""
        if state == "ok":
            logger.info("capture.state state=ok reason=%s", detail)
        else:
            logger.warning("capture.state state=%s reason=%s", state, detail)
        if self._is_live:
            if self._ring.counts.captured_samples == 0:
                # The clock of the stream stands at 0 until the first sample: 0 is now, or when that was heard.
                heard_s = self._capture.first_heard_s
                age_s = 0.0 if heard_s is None else max(0.0, self._clock() - heard_s)
                self._stamper.origin = self._wall_clock.read() - timedelta(seconds=age_s)
            self._publish(self._make_status(state, detail))
        self._on_status(state, detail)

    def _make_status(self, state: State, detail: str) -> Status:
        return Status(t=self._account.captured_s, state=state, detail=detail, health=self._make_health())

    def _make_health(self) -> Health:
        worker, balance = self._worker, self._account.balance
        return Health(
            level_dbfs=_rounded(worker.signal.level_dbfs, 1),
            uptime_s=round(self._clock() - self._started_s, 3),
            captured_samples=balance.captured_samples,
            analysed_samples=balance.analysed_samples,
            in_flight_samples=balance.in_flight_samples,
            lost_samples=self._account.lost_by_reason,
            n_clipped_samples=worker.signal.n_clipped_samples,
            n_reopened=self._capture.n_reopened,
            n_failures=worker.failures.n_failures,
            n_clients=self._hub.n_clients,
            rtf=_rounded(worker.rtf.value, 4),
            drift_ppm=_rounded(getattr(self._capture.source, "drift_ppm", None), 1),
            model=model_info(self._model),
        )

    def _log_status(self) -> None:
        if self._clock() - self._logged_s >= STATUS_LOG_S:
            self._logged_s = self._clock()
            logger.info("process.status %s", status_line(self.snapshot()))

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
        # A first block that came late, or a device that is a little fast: nothing is dated after it is told. As `t`
        # never falls, neither does the date of one record after another.
        if self._stamper.origin is not None:
            latest = self._wall_clock.hour() - timedelta(seconds=t)
            self._stamper.origin = min(self._stamper.origin, latest)

    def _follow_wall_clock(self) -> None:
        with self._publishing:
            origin = self._stamper.origin
            if origin is not None and (step := self._wall_clock.take_step()):
                logger.warning("clock.stepped by_s=%.1f", step.total_seconds())
                self._stamper.origin = origin + step

    def _say_bye(self) -> None:
        """The last record; then wait for readers that may be waited for."""
        bye = self._account.make_bye(self._reason or "end of input")
        logger.info(
            "process.stopped reason=%s captured=%d analysed=%d lost=%d source_lost=%d in_flight=%d",
            *(bye.reason, bye.captured_samples, bye.analysed_samples, bye.lost_samples),
            *(self._account.balance.source_lost_samples, bye.in_flight_samples),
        )
        self._publish(bye)
        self._hub.drain()


def _rounded(value: float | None, n_decimals: int) -> float | None:
    return None if value is None else round(value, n_decimals)
