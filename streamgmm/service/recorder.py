"""Recorder of one source: collect the audio of its events, and name the clip of each in its `end` record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from streamgmm import units
from streamgmm.audio.stretch import Stretch
from streamgmm.clips.clip import Draft, Piece, RecentAudio
from streamgmm.clips.misses import Miss, Misses
from streamgmm.clips.naming import ClipKind, folder_of, stem_of
from streamgmm.decision.rises import MAX_RISE_S
from streamgmm.records import End, ModelInfo, Record, Start
from streamgmm.service.clip_writer import ClipWriter
from streamgmm.service.greeting import model_info
from streamgmm.service.session import Session
from streamgmm.service.switchboard import Switches

logger = logging.getLogger("streamgmm.clips")

Stamp = Callable[[End], End]
"""Returns a record with time and source."""


class _Closing(NamedTuple):
    """A clip whose sound is over, and whose post-roll is not."""

    draft: Draft
    kind: ClipKind
    record: End
    end_sample: int
    model: ModelInfo


class Recorder:
    """Keep the latest audio of a source, and hand the clip of each sound to the writer; used by the worker thread.

    The clip of an event is complete after its post-roll, which is soon after its `end` record.

    Args:
        writer: writes the clips of all sources.
        session: model and settings at the start.
        stamp: adds time and source to a record.
        id_prefix: prefix of event ids of this source.
    """

    def __init__(self, writer: ClipWriter, session: Session, stamp: Stamp, id_prefix: str) -> None:
        self._writer = writer
        self._section = writer.section
        self._stamp = stamp
        self._id_prefix = id_prefix
        # A reload does not change the rate.
        self._rate_hz = session.model.spec.sample_rate_hz
        self._post_samples = self._samples(self._section.post_roll_s)
        self._max_samples = self._samples(self._section.max_clip_s)
        # The rest is for the sound itself: a clip is cut at its end.
        self._pre_samples = min(self._samples(self._section.pre_roll_s), self._max_samples // 2)
        self._position = 0
        self._n_misses = 0
        self._labels_of_events: dict[str, str] = {}
        self._drafts: dict[str, Draft] = {}
        self._drafts_of_misses: dict[int, tuple[Miss, Draft]] = {}
        self._recent = RecentAudio()
        self._closing: list[_Closing] = []
        self._switches = Switches()
        self._begin(session)

    def follow(self, stretch: Stretch, records: list[Record], session: Session) -> list[Record]:
        """Take the audio of a stretch, and return its records with the names of their clips."""
        if session is not self._session:
            self._begin(session)
        analyser = session.pipeline.analyser
        self._position = analyser.end_sample + analyser.pending_samples
        if len(stretch.samples) and not self._switches.is_paused:
            piece = Piece(self._position - len(stretch.samples), stretch.samples)
            self._recent.append(piece)
            for draft in self._all_drafts():
                draft.add(piece)
        records = self.name(records)
        self._follow_misses()
        if stretch.gap_reason is not None:
            # No pre-roll or post-roll reaches over a loss; a sound that goes on does, with silence for what is lost.
            self._end_misses()
            self._submit(self._closing)
            self._closing = []
            self._recent.clear()
        due = [closing for closing in self._closing if closing.end_sample <= self._position]
        self._closing = [closing for closing in self._closing if closing.end_sample > self._position]
        self._submit(due)
        return records

    def finish(self, records: list[Record]) -> list[Record]:
        """Return the last records with the names of their clips, and end all clips."""
        records = self.name(records)
        self._end_misses()
        self._submit(self._closing)
        self._closing = []
        return records

    def name(self, records: list[Record]) -> list[Record]:
        """Return records without audio of their own, e.g. those of a reload, with the names of their clips."""
        return [self._named(record) for record in records]

    def switch(self, switches: Switches, records: list[Record]) -> list[Record]:
        """Keep nothing of labels that are off, nor any audio of a pause, from now on; clips end without post-roll.

        Returns:
            `records`, the last ones before the switch, with the names of their clips.
        """
        records = self.name(records)
        self._end_misses()
        self._submit(self._closing)
        self._closing = []
        if switches.is_paused or self._switches.is_paused:
            # No pre-roll reaches back into a pause either.
            self._recent.clear()
        self._switches = switches
        return records

    def _begin(self, session: Session) -> None:
        """Adapt to another model or other rules, whose events have ended."""
        decider, spec = session.pipeline.decider, session.model.spec
        self._session = session
        self._model: ModelInfo = model_info(session.model)
        self._end_misses()
        self._misses = Misses(self._section, session.setup.labels, decider.rules, spec.hop_samples)
        self._wants_misses = self._section.near_miss_margin > 0.0 or self._section.unknown
        self._judgement = decider.judgement
        # A `start` comes after the minimum duration, and dates the onset back by two windows at most, from where its
        # score rose.
        latest_samples = max((rule.min_duration_samples for rule in decider.rules), default=0)
        back_samples = self._samples(MAX_RISE_S) + 2 * spec.window_samples
        reach_samples = self._pre_samples + back_samples + 2 * spec.hop_samples
        self._recent.capacity_samples = reach_samples + min(latest_samples, self._max_samples)

    def _named(self, record: Record) -> Record:
        if isinstance(record, Start):
            self._labels_of_events[record.id] = record.label
            if not self._section.labels or record.label in self._section.labels:
                self._drafts[record.id] = self._draft(self._samples(record.start_t))
        elif isinstance(record, End):
            self._labels_of_events.pop(record.id, None)
            draft = self._drafts.pop(record.id, None)
            if draft is not None and not self._writer.is_taking:
                self._writer.leave_out()
            elif draft is not None:
                stamped = self._stamp(record)
                place = self._writer.place_of(folder_of("event", record.label), stem_of(stamped))
                self._close(draft, "event", msgspec.structs.replace(stamped, clip=place))
                return msgspec.structs.replace(record, clip=place)
        return record

    def _follow_misses(self) -> None:
        judgement = self._session.pipeline.decider.judgement
        # The same one again if no hop was completed.
        if not self._wants_misses or self._switches.is_paused or judgement is None or judgement is self._judgement:
            return
        self._judgement = judgement
        end_sample = self._session.pipeline.analyser.end_sample
        misses = self._misses.update(judgement, end_sample, set(self._labels_of_events.values()))
        self._keep_misses(miss for miss in misses if not self._switches.is_off(miss.label))

    def _keep_misses(self, misses: Iterable[Miss]) -> None:
        # What is not among them any more was dropped, as it became an event.
        before, self._drafts_of_misses = self._drafts_of_misses, {}
        for miss in misses:
            _, draft = before.get(id(miss)) or (miss, self._draft(miss.onset_sample))
            if not miss.is_over:
                self._drafts_of_misses[id(miss)] = miss, draft
            elif self._writer.is_taking:
                self._close(draft, miss.kind, self._stamp(self._record_of(miss)))
            else:
                self._writer.leave_out()

    def _end_misses(self) -> None:
        if self._drafts_of_misses:
            self._keep_misses(self._misses.end())

    def _record_of(self, miss: Miss) -> End:
        """Return the record that the sound would have had as an event."""
        self._n_misses += 1
        start_t, end_t = (units.samples_to_seconds(n, self._rate_hz) for n in (miss.onset_sample, miss.offset_sample))
        score = units.round_score(miss.max_score)
        return End(
            t=units.samples_to_seconds(self._position, self._rate_hz),
            id=f"{self._id_prefix}-m{self._n_misses}",
            label=miss.label,
            start_t=start_t,
            end_t=end_t,
            duration_s=units.round_s(end_t - start_t),
            max_score=score,
            mean_score=score,
            reason="offset",
        )

    def _close(self, draft: Draft, kind: ClipKind, record: End) -> None:
        end_sample = self._samples(record.end_t) + self._post_samples
        # The model that decided: another one may be in use when the post-roll is over.
        self._closing.append(_Closing(draft, kind, record, end_sample, self._model))

    def _submit(self, closings: Iterable[_Closing]) -> None:
        for draft, kind, record, end_sample, model in closings:
            clip = draft.finish(kind, record, end_sample, self._rate_hz, model)
            if clip is not None:
                self._writer.submit(clip)

    def _draft(self, onset_sample: int) -> Draft:
        begin_sample = max(0, onset_sample - self._pre_samples)
        return Draft(begin_sample, self._max_samples, self._recent.since(begin_sample))

    def _all_drafts(self) -> Iterable[Draft]:
        yield from self._drafts.values()
        yield from (draft for _, draft in self._drafts_of_misses.values())
        yield from (closing.draft for closing in self._closing)

    def _samples(self, duration_s: float) -> int:
        return units.seconds_to_samples(duration_s, self._rate_hz)
