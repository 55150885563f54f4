"""Worker of one source: read samples from the ring, and turn them into records despite overload and exceptions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from streamgmm import units
from streamgmm.audio.ring import Ring
from streamgmm.audio.stretch import NO_SAMPLES, Stretch
from streamgmm.pipeline import Pipeline
from streamgmm.records import GapReason, Record
from streamgmm.service.failures import FailureBudget
from streamgmm.service.health import Condition, SignalHealth
from streamgmm.service.overload import Overload
from streamgmm.service.session import Session
from streamgmm.service.status import RealTimeFactor
from streamgmm.service.switchboard import Switches
from streamgmm.service.watch import Watch

if TYPE_CHECKING:
    from streamgmm.service.recorder import Recorder

logger = logging.getLogger("streamgmm.worker")

BREAKS: frozenset[GapReason] = frozenset({"device_lost", "suspend"})
"""Reasons of gaps after which the microphone may be another one, or in another state."""


class Step(NamedTuple):
    """What is to be analysed next.

    Attributes:
        stretch: from the ring; None at its end, and after an error.
        error: why there is none; None at the end.
    """

    stretch: Stretch | None
    error: BaseException | None = None

    @property
    def is_idle(self) -> bool:
        """Return whether there is nothing to analyse yet."""
        return self.stretch is not None and self.stretch.gap_reason is None and not len(self.stretch.samples)


NO_STEP = Step(Stretch(0, NO_SAMPLES))
"""The step of a channel that has nothing to analyse."""


class StackedHop(NamedTuple):
    """A hop that was analysed together with those of other sources.

    Attributes:
        analysed_samples: number of samples that were analysed before it.
        took_s: its share of the time (s).
        records: its records; none after an error.
        error: why the analysis failed; None if it did not.
    """

    analysed_samples: int
    took_s: float
    records: list[Record]
    error: Exception | None = None


class Worker:
    """Read the ring hop by hop and analyse it; skip hops if too slow, and survive a few unexpected exceptions.

    Args:
        ring: holds the captured samples.
        session: model, settings and pipeline in use.
        condition: receives the state of the signal and of overload.
        watch: records when work begins and ends.
        may_skip: whether hops may be skipped, because the source does not wait for its reader.
        clock: monotonic time (s).

    Attributes:
        session: the current session, which `adopt` replaces.
        signal: health of the signal.
        rtf: real-time factor of the analysis.
        failures: budget of unexpected exceptions.
        failed_samples: number of samples lost to unexpected exceptions.
        recorder: names the clips of events; None if no audio is to be stored.
        switches: which events are not reported; `switch` replaces them.
        may_stack: whether hops are analysed together with those of other sources; no longer once that has failed, so
            that a source with which something is wrong fails alone.
    """

    def __init__(
        self,
        ring: Ring,
        session: Session,
        condition: Condition,
        watch: Watch,
        *,
        may_skip: bool,
        clock: Callable[[], float],
    ) -> None:
        spec = session.model.spec
        self.session = session
        self.signal = SignalHealth(spec.sample_rate_hz, session.silence_gate_dbfs)
        self.rtf = RealTimeFactor()
        self.failures = FailureBudget(clock)
        self.failed_samples = 0
        self.recorder: Recorder | None = None
        self.switches = Switches()
        self.may_stack = True
        self._ring = ring
        self._condition = condition
        self._watch = watch
        self._overload = Overload(spec.hop_samples, ring.capacity_samples, spec.sample_rate_hz) if may_skip else None
        self._clock = clock

    @property
    def pipeline(self) -> Pipeline:
        """Pipeline of the session."""
        return self.session.pipeline

    def next_step(self) -> Step:
        """Take the next stretch from the ring, which is empty if no whole hop waits yet."""
        # Does not wait: one thread serves the workers of all channels.
        try:
            return Step(self._ring.read(self.session.model.spec.hop_samples, timeout_s=0.0))
        except BaseException as error:
            return Step(None, error)

    def adopt(self, session: Session) -> None:
        """Use another session from the next stretch on; call only between two stretches."""
        spec, before = session.model.spec, self.session.model.spec
        self.session = session
        self.signal.gate_dbfs = session.silence_gate_dbfs
        # Whole hops are skipped, so another hop length needs another detector.
        if self._overload is not None and spec.hop_samples != before.hop_samples:
            self._overload = Overload(spec.hop_samples, self._ring.capacity_samples, spec.sample_rate_hz)

    def switch(self, switches: Switches) -> list[Record]:
        """Use other switches from the next stretch on, and return the ends of events that are not reported further.

        Call only between two stretches.
        """
        labels = self.session.setup.labels
        changed = [label for label in labels if switches.is_off(label) != self.switches.is_off(label)]
        # Admitted by the old switches: an event that was not reported ends without a record.
        ends = self._recorded(
            self.pipeline.decider.cut(changed), lambda recorder, records: recorder.switch(switches, records)
        )
        self.switches = switches
        return ends

    def skip_if_overloaded(self) -> None:
        """Skip live samples that cannot be analysed in time, as `Overload` decides; call after each stretch."""
        if self._overload is not None:
            if n_samples := self._overload.samples_to_skip(self._ring.waiting_samples):
                self._ring.skip(n_samples, "overload")
            self._condition.say_overload(is_overloaded=self._overload.is_overloaded)

    def records_of(self, stretch: Stretch, hop: StackedHop | None = None) -> list[Record]:
        """Return the records of a stretch (see `_analyse_safely`), with the names of their clips.

        Args:
            stretch: the stretch.
            hop: the result, if it was analysed together with others already.
        """
        return self._recorded(
            self._analyse_safely(stretch, hop),
            lambda recorder, records: recorder.follow(stretch, records, self.session),
        )

    def finish(self) -> list[Record]:
        """Return the last records of the stream."""
        return self._recorded(self.pipeline.flush(), lambda recorder, records: recorder.finish(records))

    def named(self, records: list[Record]) -> list[Record]:
        """Return records that come without audio, with the names of their clips."""
        return self._recorded(records, lambda recorder, records: recorder.name(records))

    def _recorded(
        self, records: list[Record], record: Callable[[Recorder, list[Record]], list[Record]]
    ) -> list[Record]:
        records = self.switches.admitted(records)
        if self.recorder is None:
            return records
        try:
            return record(self.recorder, records)
        except Exception:
            # Clips must cost no event: without them, everything else goes on.
            logger.exception("clips.failed; no more clips of this source in this run")
            self.recorder = None
            return records

    def _analyse_safely(self, stretch: Stretch, hop: StackedHop | None) -> list[Record]:
        """Return the records of a stretch; an unexpected exception loses the stretch but does not end the run.

        Raises:
            Exception: one more unexpected exception than `FailureBudget` allows.
        """
        analyser = self.pipeline.analyser
        # What was finished before this stretch, for `abandon` after an exception.
        analysed_samples = analyser.analysed_samples if hop is None else hop.analysed_samples
        pending_samples = analyser.pending_samples
        try:
            with self._watch.busy("worker"):
                return self._analyse(stretch, hop)
        except Exception as error:
            # The exception may have come at any point of the hop: all of its samples count as lost, none as analysed.
            lost_samples = pending_samples + len(stretch.samples)
            self.failed_samples += lost_samples
            analyser.abandon(analysed_samples, lost_samples)
            logger.exception("worker.failed lost_samples=%d", lost_samples)
            # The loss is counted before this may raise, so that `bye` balances in any case.
            self.failures.spend(error)
            records = self.pipeline.lost(lost_samples, "worker_error")
            # The loss that the stretch itself reports must not vanish from stream time, so it is tried once more.
            return records + (self._analyse(stretch) if stretch.gap_reason else [])

    def _analyse(self, stretch: Stretch, hop: StackedHop | None = None) -> list[Record]:
        if stretch.gap_reason is not None:
            if stretch.gap_reason in BREAKS:
                self.signal.reset()
            return self.pipeline.gap(stretch.lost_samples, stretch.gap_reason)
        if not len(stretch.samples):
            return []
        records, took_s = self._analyse_alone(stretch) if hop is None else self._taken_from(hop)
        self._condition.say_signal(self.signal.update(stretch.samples, self.pipeline.analyser.level_dbfs))
        audio_s = units.samples_to_seconds(len(stretch.samples), self.session.model.spec.sample_rate_hz)
        self.rtf.update(took_s, audio_s)
        return records

    def _analyse_alone(self, stretch: Stretch) -> tuple[list[Record], float]:
        started_s = self._clock()
        records = self.pipeline.push(stretch.samples)
        return records, self._clock() - started_s

    def _taken_from(self, hop: StackedHop) -> tuple[list[Record], float]:
        if hop.error is not None:
            self.may_stack = False
            raise hop.error
        return hop.records, hop.took_s
