"""One run: a capture thread fills the ring, a worker thread turns it into records for the sinks."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

from streamgmm import units
from streamgmm.audio.ring import Ring, Stretch
from streamgmm.audio.source import Source
from streamgmm.config import Config
from streamgmm.errors import ConfigError, StreamgmmError
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline
from streamgmm.records import Bye, Heartbeat, Record, Stamper, Status
from streamgmm.service.capture import Capture, State
from streamgmm.service.greeting import make_hello, make_model_record
from streamgmm.service.progress import Position
from streamgmm.sinks.hub import Hub
from streamgmm.sinks.sink import start_thread

logger = logging.getLogger("streamgmm.daemon")

FINISH_S = 0.4
"""How long a stop waits for what was captured to be analysed; the rest stays in flight, and is told."""

DRAIN_S = 1.0
"""How long a stop waits for readers to collect the last records. Both together keep a stop within two seconds."""


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
        on_status: is told every state and why, from whichever thread: those of the capture, then `stopping`.
        clock: seconds, monotonic.
        now: wall-clock time.

    Attributes:
        is_live: whether the source goes on by itself.
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
        on_status: Callable[[str, str], None] = lambda state, detail: None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        with closing(make_source()) as source:
            self.is_live, name = source.is_live, source.name
        rate_hz = model.spec.sample_rate_hz
        self._model = model
        self._heartbeat_s = config.output.heartbeat_s
        self._next_heartbeat_s = self._heartbeat_s
        self._hub = hub
        self._run_id = run_id
        self._now = now
        self._on_status = on_status
        # Held while the worker is in a stretch, so that whoever holds it finds the worker between two.
        self._turn = threading.Lock()
        self._pipeline = Pipeline(model, config, run_id)
        self._ring = Ring(
            max(units.seconds_to_samples(config.source.ring_s, rate_hz), 2 * model.spec.hop_samples),
            is_lossy=self.is_live,
        )
        self._capture = Capture(
            make_source,
            self._ring,
            rate_hz,
            on_state=self._on_state,
            is_device_required=is_device_required,
            clock=clock,
        )
        self._stamper = Stamper(name, now() if self.is_live else None)
        self._publishing = threading.Lock()
        self._has_said_bye = False
        self._reason: str | None = None
        self._failures: list[BaseException] = []
        # Not an event: its lock could be held by the very code that a signal handler interrupts.
        self._endings: queue.SimpleQueue[None] = queue.SimpleQueue()

    def run(self) -> None:
        """Open the sinks, listen, and close them again.

        Raises:
            StreamgmmError: a sink or the source cannot be had, the source failed for good, or the last sink did.
            BaseException: what a thread failed of that should not have failed.
        """
        threads: list[threading.Thread] = []
        self._hub.open(self.fail)
        try:
            self._publish(make_hello(self._model, self._run_id))
            threads.append(start_thread(self._work, "worker"))
            threads.append(start_thread(lambda: self._attempt(self._capture.run), "capture"))
            self._endings.get()
        finally:
            self._on_status("stopping", self._reason or "end of input")
            self._wind_up(threads)
        if self._failures:
            raise self._failures[0]

    def stop(self, reason: str) -> None:
        """Stop capturing, analyse what was captured, and end the run; from any thread or a signal handler."""
        self._reason = self._reason or reason
        self._endings.put(None)

    def fail(self, error: BaseException) -> None:
        """End the run because of `error`, which `run` then raises; from any thread."""
        self._note(error)
        self._endings.put(None)

    @property
    def position(self) -> Position:
        """How far capture and analysis are, for a watchdog."""
        is_waiting = self._ring.counts.in_flight_samples >= self._model.spec.hop_samples
        return Position(self._capture.n_moves, self._pipeline.analyser.end_sample, is_waiting)

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
            before, self._pipeline = self._pipeline, successor
            self._publish(*before.decider.flush())
            if make_model_record(model, 0.0) != make_model_record(self._model, 0.0):
                self._publish(make_model_record(model, self._to_seconds(before.analyser.end_sample)))
            self._publish(*successor.go_on_from(before))
            self._model = model
            self._heartbeat_s = config.output.heartbeat_s
            self._schedule_heartbeat(self._analysed_s())

    def _wind_up(self, threads: list[threading.Thread]) -> None:
        """End everything, in bounded time whatever hangs; all of it has ended before if the source has."""
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
        self._endings.put(None)

    def _attempt(self, act: Callable[[], None]) -> None:
        # Whatever it is, `run` raises it: a thread that dies in silence would leave a daemon that hears nothing.
        try:
            act()
        except BaseException as error:
            self._note(error)

    def _note(self, error: BaseException) -> None:
        self._reason = self._reason or (str(error) if isinstance(error, StreamgmmError) else "internal error")
        self._failures.append(error)

    def _analyse(self) -> None:
        while (stretch := self._ring.read(self._model.spec.hop_samples)) is not None:
            with self._turn:
                self._follow(stretch)
                self._beat()
        with self._turn:
            self._publish(*self._pipeline.flush())

    def _follow(self, stretch: Stretch) -> None:
        if stretch.gap_reason is None:
            self._publish(*self._pipeline.push(stretch.samples))
        else:
            self._publish(*self._pipeline.gap(stretch.lost_samples, stretch.gap_reason))

    def _publish(self, *records: Record) -> None:
        with self._publishing:
            # The capture thread may still have something to say when the last record is out.
            for record in () if self._has_said_bye else records:
                self._hub.publish(self._stamper.stamp(record))
                self._has_said_bye = isinstance(record, Bye)

    def _on_state(self, state: State, detail: str) -> None:
        """Tell the stream what the capture thread found; a recording has no states."""
        self._on_status(state, detail)
        if not self.is_live:
            return
        counts = self._ring.counts
        if counts.captured_samples == 0:
            # The clock of the stream stands at 0 until the first sample: 0 is now.
            self._stamper.origin = self._now()
        captured_s = self._to_seconds(counts.captured_samples + counts.source_lost_samples)
        self._publish(Status(t=captured_s, state=state, detail=detail))

    def _beat(self) -> None:
        t = self._analysed_s()
        if not self._heartbeat_s or t < self._next_heartbeat_s:
            return
        self._schedule_heartbeat(t)
        counts = self._ring.counts
        beat = Heartbeat(
            t=t,
            captured_samples=counts.captured_samples,
            analysed_samples=self._pipeline.analyser.analysed_samples,
            lost_samples=counts.lost_samples,
        )
        self._publish(beat)

    def _schedule_heartbeat(self, t: float) -> None:
        # The next one that is still to come: a long gap is no reason for many of them at once.
        if self._heartbeat_s:
            self._next_heartbeat_s = (t // self._heartbeat_s + 1.0) * self._heartbeat_s

    def _to_seconds(self, n_samples: int) -> float:
        return units.samples_to_seconds(n_samples, self._model.spec.sample_rate_hz)

    def _analysed_s(self) -> float:
        return self._to_seconds(self._pipeline.analyser.end_sample)

    def _say_bye(self) -> None:
        """The last record; then wait for readers that may be waited for."""
        counts = self._ring.counts
        analysed_samples = self._pipeline.analyser.analysed_samples
        bye = Bye(
            t=self._analysed_s(),
            reason=self._reason or "end of input",
            captured_samples=counts.captured_samples,
            analysed_samples=analysed_samples,
            lost_samples=counts.lost_samples,
            # Still in the ring, or in a hop that a failure left unfinished.
            in_flight_samples=counts.captured_samples - counts.lost_samples - analysed_samples,
        )
        logger.info(
            "process.stopped reason=%s captured=%d analysed=%d lost=%d source_lost=%d in_flight=%d",
            *(bye.reason, bye.captured_samples, bye.analysed_samples, bye.lost_samples),
            *(counts.source_lost_samples, bye.in_flight_samples),
        )
        self._publish(bye)
        self._hub.drain()
