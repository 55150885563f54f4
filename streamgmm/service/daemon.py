"""One run: a capture thread fills the ring, a worker thread turns it into records for the sinks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from streamgmm import units
from streamgmm.audio.ring import Ring, Stretch
from streamgmm.audio.source import Source
from streamgmm.config import Config
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline
from streamgmm.records import Bye, Heartbeat, Record, Stamper, Status
from streamgmm.service.capture import Capture, State
from streamgmm.service.greeting import make_hello
from streamgmm.sinks.hub import Hub

logger = logging.getLogger("streamgmm.daemon")

DRAIN_S = 1.0
"""How long readers may take to collect the last records; a stop takes two seconds at most."""


def utc_now() -> datetime:
    """Wall-clock time; used once, to date the first sample."""
    return datetime.now(UTC)


class Daemon:
    """Listens until the source ends or `stop` is called.

    Args:
        model: what to recognise.
        config: how to decide and whom to tell.
        make_source: a fresh source, not yet opened; called again whenever a live one fails.
        hub: opened here and closed at the end.
        run_id: goes into the hello and the ids of events.
        is_device_required: whether a missing microphone ends the run instead of being waited for.
        clock: seconds, monotonic.
        now: wall-clock time.
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
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        source = make_source()
        rate_hz = model.spec.sample_rate_hz
        self._model = model
        self._config = config
        self._hub = hub
        self._run_id = run_id
        self._now = now
        self._is_live = source.is_live
        self._pipeline = Pipeline(model, config, run_id)
        self._ring = Ring(
            max(units.seconds_to_samples(config.source.ring_s, rate_hz), 2 * model.spec.hop_samples),
            is_lossy=source.is_live,
        )
        self._capture = Capture(
            make_source,
            self._ring,
            rate_hz,
            on_state=self._on_state,
            is_device_required=is_device_required,
            clock=clock,
        )
        self._stamper = Stamper(source.name, now() if source.is_live else None)
        self._publishing = threading.Lock()
        self._next_heartbeat_s = config.output.heartbeat_s
        self._reason = "end of input"
        self._worker_failure: BaseException | None = None
        self._finished = threading.Event()

    def run(self) -> None:
        """Open the sinks, listen, and close them again.

        Raises:
            StreamgmmError: a sink or the source cannot be had, or the last sink failed.
        """
        self._hub.open()
        try:
            self._publish(make_hello(self._model, self._run_id))
            threads = [
                threading.Thread(target=self._capture.run, name="capture", daemon=True),
                threading.Thread(target=self._work, name="worker", daemon=True),
            ]
            for thread in threads:
                thread.start()
            self._finished.wait()
            self._capture.stop()
            for thread in threads:
                thread.join()
            self._publish(self._bye())
        finally:
            self._hub.close(DRAIN_S)
        self._raise_failures()

    def stop(self, reason: str) -> None:
        """Stop capturing, analyse what was captured, and end the run; from any thread or a signal handler."""
        self._reason = reason
        self._capture.stop()

    def _work(self) -> None:
        """The worker thread: from the ring through the pipeline to the sinks."""
        try:
            while (stretch := self._ring.read(self._model.spec.hop_samples)) is not None:
                self._follow(stretch)
                if self._hub.failed.is_set():
                    break
            self._publish(*self._pipeline.flush())
        except BaseException as error:
            self._worker_failure = error
        finally:
            self._ring.close()
            self._finished.set()

    def _follow(self, stretch: Stretch) -> None:
        if stretch.gap_reason is not None:
            self._publish(*self._pipeline.gap(stretch.lost_samples, stretch.gap_reason))
            return
        self._publish(*self._pipeline.push(stretch.samples))
        self._beat()

    def _publish(self, *records: Record) -> None:
        with self._publishing:
            for record in records:
                self._hub.publish(self._stamper.stamp(record))

    def _on_state(self, state: State, detail: str) -> None:
        """Tell the stream what the capture thread found; the first audio also dates the stream."""
        captured_samples = self._ring.counts.captured_samples
        if state == "ok" and self._is_live and captured_samples == 0:
            self._stamper.origin = self._now()
        logger.info("capture.state state=%s detail=%s", state, detail)
        t = units.samples_to_seconds(captured_samples, self._model.spec.sample_rate_hz)
        self._publish(Status(t=t, state=state, detail=detail))

    def _beat(self) -> None:
        if not self._config.output.heartbeat_s:
            return
        t = self._stream_s()
        if t >= self._next_heartbeat_s:
            self._next_heartbeat_s += self._config.output.heartbeat_s
            counts = self._ring.counts
            beat = Heartbeat(
                t=t,
                captured_samples=counts.captured_samples,
                analysed_samples=self._pipeline.analyser.analysed_samples,
                lost_samples=counts.lost_samples,
            )
            self._publish(beat)

    def _stream_s(self) -> float:
        return units.samples_to_seconds(self._pipeline.analyser.end_sample, self._model.spec.sample_rate_hz)

    def _bye(self) -> Bye:
        counts = self._ring.counts
        analysed_samples = self._pipeline.analyser.analysed_samples
        bye = Bye(
            t=self._stream_s(),
            reason=self._reason,
            captured_samples=counts.captured_samples,
            analysed_samples=analysed_samples,
            lost_samples=counts.lost_samples,
            in_flight_samples=counts.captured_samples - analysed_samples - counts.lost_samples,
        )
        logger.info(
            "process.stopped reason=%s captured=%d analysed=%d lost=%d source_lost=%d in_flight=%d",
            *(bye.reason, bye.captured_samples, bye.analysed_samples, bye.lost_samples),
            *(counts.source_lost_samples, bye.in_flight_samples),
        )
        return bye

    def _raise_failures(self) -> None:
        if self._worker_failure is not None:
            raise self._worker_failure
        if self._hub.failure is not None:
            raise self._hub.failure
        if self._capture.failure is not None:
            raise self._capture.failure
