"""The decisions of one stream, from hop scores to records, in one object without thread or clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import nan
from typing import NamedTuple

from streamgmm import units
from streamgmm.arrays import Float64Array
from streamgmm.decision.change_point import LevelHistory
from streamgmm.decision.dates import Dates
from streamgmm.decision.events import (
    EventChange,
    EventClosed,
    EventContinued,
    EventOpened,
    EventState,
    LabelRule,
    OnsetCrossed,
    ScoreDipped,
    Segmenter,
)
from streamgmm.decision.hop_scores import HopScores
from streamgmm.decision.judge import Judge, Judgement
from streamgmm.decision.rejection import Verdict
from streamgmm.decision.rises import MAX_RISE_S, Rises
from streamgmm.errors import DataError
from streamgmm.labels import is_reserved
from streamgmm.records import End, Gap, GapReason, Glimpse, Record, RejectReason, Start, Update, Window


class Timing(NamedTuple):
    """Lengths of what the decisions are made from.

    Attributes:
        sample_rate_hz: sample rate of the model.
        hop_samples: distance between windows.
        window_samples: length of windows.
        level_samples: samples per level in `HopScores.levels_db`.
    """

    sample_rate_hz: int
    hop_samples: int
    window_samples: int
    level_samples: int


@dataclass(slots=True)
class _Event:
    id: str
    onset_sample: int
    has_gap: bool = False


class Decider:
    """The decisions of one stream: a judge of hops, an automaton per label, and back-dating of events.

    Args:
        judge: gates and smoother of the hops, at the start of a stream.
        rules: one per label of `judge`, see `make_rules`.
        timing: lengths of hops, windows and levels.
        run_id: prefix of the ids of events.
        windows: whether to make a record for every hop.
        glimpses: whether to make one for sinks that show every hop, where `windows` makes none for all.
        updates: whether to make a record for every hop of an open event.

    Attributes:
        judgement: result of the gates and the smoother for the last hop; None before the first.
        rules: the rule of each label for the start and end of its events.
        n_rejects: number of hops that each gate has rejected.
    """

    def __init__(
        self,
        judge: Judge,
        rules: Sequence[LabelRule],
        timing: Timing,
        *,
        run_id: str,
        windows: bool = False,
        glimpses: bool = False,
        updates: bool = False,
    ) -> None:
        self._judge = judge
        self._labels = judge.labels
        self.rules = tuple(rules)
        # The same mapping in every window, so that a record for every hop costs no more than its encoding.
        pairs = zip(judge.labels, rules, strict=True)
        self._thresholds = {label: rule.onset_threshold for label, rule in pairs if not is_reserved(label)}
        self._sample_rate_hz = timing.sample_rate_hz
        self._run_id = run_id
        self._window_type = Window if windows else Glimpse if glimpses else None
        self._has_updates = updates
        self._segmenter = Segmenter(self.rules, timing.hop_samples)
        max_rise_samples = units.seconds_to_samples(MAX_RISE_S, timing.sample_rate_hz)
        self._rises = Rises(self.rules, timing.hop_samples, max_rise_samples)
        # When the smoothed posterior crosses the threshold, the sound may have begun before the current window. With a
        # history of one window, every fourth onset in scenes of everyday sounds was dated late.
        n_levels = max(2, 2 * timing.window_samples // timing.level_samples)
        self._history = LevelHistory(n_levels, timing.level_samples, judge.silence_gate_dbfs)
        self._n_events = 0
        self.n_rejects: Counter[RejectReason] = Counter()
        self.judgement: Judgement | None
        self._end_sample: int
        self.reset()

    def update(self, hop: HopScores) -> list[Record]:
        """Return the records of one hop: its window first (if enabled), then the changes, label by label.

        Raises:
            DataError: the hop does not follow the previous one, or has another number of labels.
        """
        self._check(hop, self._end_sample)
        return self._decide(hop, self._judge.update(hop))

    def update_stack(self, deciders: Sequence[Decider], hops: Sequence[HopScores]) -> list[list[Record]]:
        """Return the records of hops of one or several streams, the same as those of `update`.

        Args:
            deciders: the decider of each hop, with the model and settings of this one; the hops of one follow each
                other.
            hops: one or more.

        Raises:
            DataError: see `update`.
        """
        # All checks come before any change, so that rejected hops leave the state as it was.
        ends = {decider: decider._end_sample for decider in deciders}
        for decider, hop in zip(deciders, hops, strict=True):
            decider._check(hop, ends[decider])
            ends[decider] = hop.end_sample
        judgements = self._judge.update_stack([decider._judge for decider in deciders], hops)
        each = zip(deciders, hops, judgements, strict=True)
        return [decider._decide(hop, judgement) for decider, hop, judgement in each]

    def _check(self, hop: HopScores, end_sample: int) -> None:
        if hop.end_sample <= end_sample:
            raise DataError(f"a hop that ends at sample {hop.end_sample} after one at {end_sample}")
        if hop.log_likelihoods.shape != (self._judge.n_scored,):
            raise DataError(f"a hop of shape {hop.log_likelihoods.shape} for {self._judge.n_scored} labels")

    def _decide(self, hop: HopScores, judgement: Judgement) -> list[Record]:
        self.judgement = judgement
        verdict, posteriors, scores = judgement
        if verdict.reject is not None:
            self.n_rejects[verdict.reject] += 1
        self._end_sample = hop.end_sample
        # Before the automata: a change is dated by the levels up to its own hop.
        self._history.append(hop.levels_db, hop.end_sample)
        self._rises.update(scores, hop.end_sample, self._history)
        records: list[Record] = []
        if self._window_type:
            records.append(self._window(self._window_type, verdict, posteriors, hop))
        for change in self._segmenter.update(scores, hop.end_sample):
            records += self._follow(change, hop)
        return records

    def gap(self, lost_samples: int, reason: GapReason, end_sample: int | None = None) -> list[Record]:
        """Return the records of lost audio: the gap, then the ends of events that do not survive it.

        Args:
            lost_samples: number of missing samples.
            reason: cause of the loss.
            end_sample: position just after the loss; None if the loss follows the last hop directly.

        Raises:
            DataError: the gap has a negative length or ends before the last hop.
        """
        end_sample = self._end_sample + lost_samples if end_sample is None else end_sample
        if lost_samples < 0 or end_sample < self._end_sample:
            raise DataError(f"a gap of {lost_samples} samples that ends at {end_sample}")
        self._end_sample = end_sample
        # The history of levels needs no reset: it drops levels that do not adjoin the new ones.
        self._judge.reset()
        self._rises.reset()
        # Events that survive the gap are marked too: their duration includes time without audio.
        for event in self._events.values():
            event.has_gap = True
        ends = [self._end(change) for change in self._segmenter.gap(end_sample) if isinstance(change, EventClosed)]
        return [Gap(t=self._seconds(end_sample), lost_samples=lost_samples, reason=reason), *ends]

    def flush(self) -> list[Record]:
        """End all open events at the end of the stream; return their records."""
        # Candidates end without a change: an event that never opened has no record.
        changes = self._segmenter.close_all("flush")
        return [self._end(change) for change in changes if isinstance(change, EventClosed)]

    def cut(self, labels: Collection[str]) -> list[Record]:
        """End the open events of labels that are switched off or on; return their records.

        A sound that goes on begins another event, which is not dated back before this moment. So an event lies on one
        side of every switch, whatever is reported of it.
        """
        i_labels = [i_label for i_label, label in enumerate(self._labels) if label in labels]
        changes = self._segmenter.close(i_labels, "switched_off")
        ends: list[Record] = [self._end(change) for change in changes if isinstance(change, EventClosed)]
        for i_label in i_labels:
            dates = self._dates[i_label]
            dates.earliest_onset_sample = max(dates.earliest_onset_sample, self._end_sample)
        return ends

    @property
    def states(self) -> tuple[EventState, ...]:
        """The state of the automaton of each label."""
        return self._segmenter.states

    def continue_from(self, other: Decider) -> None:
        """Continue the stream of `other`, whose events have ended: take over its position, ids and counts."""
        self._end_sample = other._end_sample
        self._n_events = other._n_events
        self.n_rejects = other.n_rejects

    def reset(self) -> None:
        """Start a new stream at sample 0; ids and counts continue."""
        self._end_sample = 0
        self.judgement = None
        self._judge.reset()
        self._segmenter.reset()
        self._rises.reset()
        self._history.clear()
        # Open events by the index of their label: an automaton has at most one.
        self._events: dict[int, _Event] = {}
        self._dates = [Dates() for _ in self._labels]

    def _follow(self, change: EventChange, hop: HopScores) -> list[Record]:
        match change:
            case OnsetCrossed():
                self._dates[change.i_label].date_onset(change, self._rises, self._history)
            case ScoreDipped():
                onset_sample = self._events[change.i_label].onset_sample
                self._dates[change.i_label].date_offset(change, onset_sample, self._history)
            case EventOpened():
                # An anomaly has no likelihood: it is defined by what it is not.
                has_llr = change.i_label < self._judge.n_scored
                return [self._start(change, float(hop.llrs[change.i_label]) if has_llr else nan)]
            case EventContinued() if self._has_updates:
                return [self._update(change)]
            case EventClosed():
                return [self._end(change)]
        return []

    def _start(self, change: EventOpened, llr: float) -> Start:
        # Not reset with the stream: an id stands for one event of the whole run.
        self._n_events += 1
        event = _Event(f"{self._run_id}-{self._n_events}", self._dates[change.i_label].onset_sample)
        self._events[change.i_label] = event
        return Start(
            t=self._seconds(self._end_sample),
            id=event.id,
            label=self._labels[change.i_label],
            score=units.round_score(change.score),
            llr=units.round_score(llr),
            threshold=self.rules[change.i_label].onset_threshold,
            start_t=self._seconds(event.onset_sample),
        )

    def _update(self, change: EventContinued) -> Update:
        event = self._events[change.i_label]
        return Update(
            t=self._seconds(self._end_sample),
            id=event.id,
            label=self._labels[change.i_label],
            score=units.round_score(change.score),
            max_score=units.round_score(change.max_score),
            duration_s=self._seconds(self._end_sample - event.onset_sample),
        )

    def _end(self, change: EventClosed) -> End:
        event = self._events.pop(change.i_label)
        dates = self._dates[change.i_label]
        offset_sample = dates.end_of(change)
        # The refractory time runs from the back-dated offset, which the automaton does not know.
        dates.earliest_onset_sample = offset_sample + self.rules[change.i_label].refractory_samples
        return End(
            t=self._seconds(self._end_sample),
            id=event.id,
            label=self._labels[change.i_label],
            start_t=self._seconds(event.onset_sample),
            end_t=self._seconds(offset_sample),
            duration_s=self._seconds(offset_sample - event.onset_sample),
            max_score=units.round_score(change.max_score),
            mean_score=units.round_score(change.mean_score),
            reason=change.reason,
            gap=event.has_gap,
        )

    def _window(self, record_type: type[Window], verdict: Verdict, posteriors: Float64Array, hop: HopScores) -> Window:
        scores = dict(zip(self._labels, units.round_scores(posteriors.tolist()), strict=True))
        return record_type(
            t=self._seconds(hop.end_sample),
            label=verdict.label,
            score=units.round_score(verdict.score),
            scores=scores,
            llr=None if verdict.llr is None else units.round_score(verdict.llr),
            level_dbfs=units.round_db(hop.level_dbfs),
            reject=verdict.reject,
            thresholds=self._thresholds,
            spectrum_db=list(hop.spectrum_db),
        )

    def _seconds(self, n_samples: int) -> float:
        return units.samples_to_seconds(n_samples, self._sample_rate_hz)
