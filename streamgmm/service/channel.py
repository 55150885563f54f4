"""One running source: its ring, analysis, clock, sample accounting and condition."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import msgspec

from streamgmm.audio.stretch import Stretch
from streamgmm.errors import StreamgmmError
from streamgmm.records import Status
from streamgmm.service.account import Account
from streamgmm.service.capture import Capture, CaptureListener
from streamgmm.service.context import ChannelPlan, RunContext
from streamgmm.service.greeting import make_hello, make_model_record
from streamgmm.service.health import Condition, State
from streamgmm.service.publisher import HeartbeatSchedule, Publisher
from streamgmm.service.room_keeper import SourceRoom
from streamgmm.service.session import Setup, begin_session, block_samples, check_model, make_ring
from streamgmm.service.switchboard import Switches
from streamgmm.service.worker import NO_STEP, StackedHop, Step, Worker
from streamgmm.sinks.sink import start_thread

logger = logging.getLogger("streamgmm.daemon")


class Channel:
    """Capture one source in a dedicated thread, and analyse it hop by hop in the worker thread of all channels.

    Args:
        plan: the source, with its model and settings.
        context: objects that all channels share.
        on_change: receives each new state and its reason, from any thread.
        tag: distinguishes this channel from all others of the run, in event ids and names of threads; empty for the
            channel of a source without a name.

    Attributes:
        plan: the current plan, which `adopt` replaces.
        reason: why the channel ends; None while it runs.
        failures: exceptions that ended the channel.
        over: set when the last record is published.
        worker: analyses the captured samples, while `turn` is held.
        turn: held by the worker thread during a step.
    """

    def __init__(
        self, plan: ChannelPlan, context: RunContext, on_change: Callable[[State, str], None], *, tag: str
    ) -> None:
        source, clocks = plan.source, context.clocks
        self.plan = plan
        self.reason: str | None = None
        self.failures: list[BaseException] = []
        self.over = threading.Event()
        self._context = context
        self._on_change = on_change
        self._tag = tag
        self._id_prefix = f"{context.run_id}-{tag}" if tag else context.run_id
        self._publisher = Publisher(source, context.hub, clocks, partial(context.watch.busy, self._part("writer")))
        self._ring = make_ring(plan.setup, self.take_turn, is_live=source.is_live)
        self.condition = Condition(self._report)
        listener = CaptureListener(
            self.condition.say_capture, partial(context.watch.move, self._part("capture")), self._fail
        )
        spec = plan.setup.model.spec
        self._capture = Capture(
            source,
            self._ring,
            spec.sample_rate_hz,
            listener,
            clocks,
            is_device_required=context.is_device_required,
            block_samples=block_samples(spec),
        )
        self._room = SourceRoom(source, context.rooms)
        session = self._room.begin_session(plan.setup, self._id_prefix)
        self.worker = Worker(
            self._ring, session, self.condition, context.watch, may_skip=source.is_live, clock=clocks.monotonic
        )
        if context.clips:
            from streamgmm.service.recorder import Recorder  # nothing of clips is loaded without them

            self.worker.recorder = Recorder(context.clips, session, self._publisher.stamp, self._id_prefix)
        if source.is_live:
            self.worker.switch(context.switchboard.switches)
        self._account = Account(self._ring, self._capture, self.worker, clocks.monotonic)
        self._heartbeats = HeartbeatSchedule(plan.setup.config.output.heartbeat_s)
        # Held by the worker while it analyses a stretch: a reload that holds it runs between two stretches. Taken
        # before the lock of the publisher, never after it.
        self.turn = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        """Name of the source in records."""
        return self.plan.source.name

    @property
    def has_work(self) -> bool:
        """Return whether a whole hop waits to be analysed."""
        # Without a lock: the guard thread asks this, and a stuck thread may hold the lock of the ring.
        return not self.over.is_set() and self._ring.waiting_samples >= self.plan.setup.model.spec.hop_samples

    @property
    def is_waiting_for_readers(self) -> bool:
        """Return whether this is a recording whose record waits for the readers of sinks."""
        return not self.plan.source.is_live and self._context.watch.is_busy(self._part("writer"))

    @property
    def is_behind(self) -> bool:
        """Return whether a whole hop of a recording waits to be analysed, or two of a live source."""
        n_hops = 2 if self.plan.source.is_live else 1
        return self._ring.waiting_samples >= n_hops * self.plan.setup.model.spec.hop_samples

    def take_turn(self) -> None:
        """Wait for a turn at the worker if there is something to analyse; from any thread, never blocks."""
        if self._ring.is_ready(self.plan.setup.model.spec.hop_samples):
            self._context.turns.join(self)

    def announce(self, sources: list[str]) -> None:
        """Publish the hello; `sources` are the names of all sources if there are several."""
        setup, run_id = self.plan.setup, self._context.run_id
        hello = make_hello(setup.model, setup.labels, run_id, sources, is_required=self.plan.is_required)
        self._publisher.publish(hello)

    def start(self) -> None:
        """Start the capture thread; `step` analyses the captured samples."""
        # Not before: a channel that this one replaces keeps what it learnt at its end.
        self._room.recall(self.worker.session)
        watch = self._context.watch
        # A recording waits for its readers without a limit, which is not a hang.
        if self.plan.source.is_live:
            watch.add(self._part("capture"), lambda: not self._capture.is_over)
            # Watched only while the publisher is busy.
            watch.add(self._part("writer"), lambda: False)
        self._thread = start_thread(self._run_capture, self._part("capture"))

    def step(self) -> bool:
        """Analyse one hop if one waits, and return whether there was one; call from the worker thread.

        At the end of the source, publish the last records and set `over`.
        """
        with self.turn:
            return self.finish_step(self.begin_step())

    def begin_step(self) -> Step:
        """Take what is to be analysed next; call while `turn` is held, and `finish_step` before anything else."""
        return NO_STEP if self.over.is_set() else self.worker.next_step()

    def finish_step(self, step: Step, hop: StackedHop | None = None) -> bool:
        """Publish the records of a step (see `step`).

        Args:
            step: from `begin_step`.
            hop: the result, if the hop was analysed together with those of other channels already.
        """
        if step.is_idle:
            return False
        try:
            if step.error is not None:
                raise step.error
            if step.stretch is not None:
                self._publish(step.stretch, hop)
                return True
            self._publisher.publish(*self.worker.finish())
        except BaseException as error:
            # Ends this channel alone: the others share the thread, and continue.
            self._fail(error)
            # In a thread, as closing a device may take a while.
            start_thread(self._capture.stop, self._part("stop"))
        self._finish()
        return False

    def _publish(self, stretch: Stretch, hop: StackedHop | None) -> None:
        self._publisher.publish(*self.worker.records_of(stretch, hop))
        if self._heartbeats.is_due(self._account.analysed_s):
            self._publisher.publish(self._account.make_heartbeat())
        self._room.keep_if_due(self.worker.session)
        self._publisher.correct_dates(is_caught_up=not self.is_behind)
        self.worker.skip_if_overloaded()

    def stop(self, reason: str | None) -> None:
        """Stop capturing, from any thread; captured samples are still analysed, and `bye` gives the reason."""
        self.reason = self.reason or reason
        self._capture.stop()

    def abandon(self) -> None:
        """Stop analysing at once; captured samples that remain count as in flight."""
        self._ring.close()

    def join(self, timeout_s: float) -> None:
        """Wait for the capture thread to end, at most `timeout_s` seconds."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def note(self, error: BaseException) -> None:
        """Record an exception that ends the channel; the run reports it at its end."""
        self.reason = self.reason or (str(error) if isinstance(error, StreamgmmError) else "internal error")
        self.failures.append(error)

    def snapshot(self) -> Status:
        """Return the current status; may be called from any thread."""
        return self._publisher.stamp(self._make_status(*self.condition.current))

    def switch(self, switches: Switches) -> None:
        """Use other switches; cheap if they are the same, and ignored by a recording."""
        if not self.plan.source.is_live or switches == self.worker.switches:
            return
        with self.turn:
            self._publisher.publish(*self.worker.switch(switches))
        self._publisher.publish(self._make_status(*self.condition.current))

    def check_adoptable(self, setup: Setup) -> None:
        """Reject a model that cannot replace the current one while the channel runs.

        Raises:
            ConfigError: the model has another sample rate, its hop is too long for the ring, or the settings name a
                label that the model does not have.
        """
        check_model(setup, self.plan.setup, self._ring)
        begin_session(setup, self._id_prefix)

    def adopt(self, setup: Setup) -> None:
        """Continue with `setup` from the next sample to be analysed, without interrupting the capture.

        Open events end, then a `model` record announces a model that differs. Call from any thread except the
        worker's.

        Raises:
            ConfigError: `setup` cannot be adopted (see `check_adoptable`); the channel continues unchanged.
        """
        self.check_adoptable(setup)
        successor = self._room.begin_session(setup, self._id_prefix)
        self._room.recall(successor)
        with self.turn:
            before = self.worker.pipeline
            self._room.hand_over(self.worker.session, successor)
            self._publisher.publish(*self.worker.named(before.decider.flush()))
            # Before the announcement: if the new model fails on the pending samples, the old one stays in use.
            records = successor.pipeline.continue_from(before)
            old, new = (make_model_record(one.model, one.labels, 0.0) for one in (self.plan.setup, setup))
            if new != old:
                self._publisher.publish(msgspec.structs.replace(new, t=self._account.analysed_s))
            self._publisher.publish(*self.worker.named(records))
            self.worker.adopt(successor)
            self.plan = self.plan._replace(setup=setup)
            self._heartbeats = HeartbeatSchedule(setup.config.output.heartbeat_s, self._account.analysed_s)
        self.take_turn()  # hops may be shorter now

    def _part(self, name: str) -> str:
        return f"{name} {self._tag}" if self._tag else name

    def _run_capture(self) -> None:
        try:
            with suppress(BaseException):  # recorded by `_fail`, and raised at the end of the run
                self._capture.run()
        finally:
            self.plan.source.close()

    def _fail(self, error: BaseException) -> None:
        self.note(error)
        if self._tag:
            # Other sources continue: readers and `status` must see that this one does not.
            logger.error("source.failed source=%s reason=%s", self.name, self.reason)
            self.condition.say_capture("lost", self.reason or "")

    def _finish(self) -> None:
        """Publish the last record, and set `over`."""
        # Closed first, so that the counters no longer change and `bye` balances.
        self._ring.close()
        self._room.keep(self.worker.session)
        bye = self._account.make_bye(self.reason or "end of input")
        logger.info(
            "process.stopped%s reason=%s captured=%d analysed=%d lost=%d source_lost=%d in_flight=%d",
            self._tag and f" source={self.name}",
            *(bye.reason, bye.captured_samples, bye.analysed_samples, bye.lost_samples),
            *(self._account.balance.source_lost_samples, bye.in_flight_samples),
        )
        self._publisher.publish(bye)
        for name in ("capture", "writer"):
            self._context.watch.drop(self._part(name))
        self.over.set()

    def _make_status(self, state: State, detail: str) -> Status:
        status = self._account.make_status(state, detail, self._publisher.n_clients)
        if not self.plan.source.is_live:
            return status
        # Of the switchboard, not of the worker, which follows within a moment: a command shows at once.
        board = self._context.switchboard
        switches, left_s = board.switches, board.left_s
        return msgspec.structs.replace(status, paused=switches.is_paused, paused_s=left_s, off=sorted(switches.off))

    def _report(self, state: State, detail: str) -> None:
        """Report a new state in the log and, for a live source, as a record; states of a recording help no reader."""
        log = logger.info if state == "ok" else logger.warning
        log("capture.state%s state=%s reason=%s", self._tag and f" source={self.name}", state, detail)
        if self.plan.source.is_live:
            if self._ring.counts.captured_samples == 0:
                # Stream time stays 0 until the first sample, so 0 means now, or the time when that sample was recorded.
                heard_s = self._capture.first_heard_s
                age_s = 0.0 if heard_s is None else max(0.0, self._context.clocks.monotonic() - heard_s)
                self._publisher.date_start(age_s)
            self._publisher.publish(self._make_status(state, detail))
        self._on_change(state, detail)
