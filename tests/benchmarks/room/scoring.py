"""Hits and false alarms of a model in streams, at its own thresholds and at others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from streamgmm.analyser import Analyser
from streamgmm.decision.assembly import make_judge
from streamgmm.decision.events import LabelRule
from streamgmm.decision.rules import make_rules
from streamgmm.features.extractor import HopFeatures
from streamgmm.features.spec import FeatureSpec
from streamgmm.labels import is_reserved
from streamgmm.listening.events import Detection
from streamgmm.listening.tracks import ScoredRecording, keep_scores, replay
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from tests.benchmarks.room.hearing import Stream
from tests.benchmarks.room.streams import Heard
from tests.benchmarks.room.users import Lesson

EARLY_S, LATE_S = 0.5, 1.0
"""A report is a hit if it overlaps its target, widened by so much before and after."""

SHIFTS = tuple(float(shift) for shift in (*np.arange(-6.0, 12.0, 0.5), *range(12, 37, 2)))
"""What is added to the logits of all thresholds."""


class Target(NamedTuple):
    """A sound that must be reported."""

    label: str
    snr_db: float
    onset_s: float
    offset_s: float

    def overlaps(self, found: Detection) -> bool:
        """Whether the report, from the onset of its event to the moment at which it is sent, overlaps the target.

        Not the whole event: one that lasts for minutes would be right about all that happens meanwhile.
        """
        return found.onset_s <= self.offset_s + LATE_S and found.reported_s >= self.onset_s - EARLY_S


class Take(NamedTuple):
    """Scores of a stretch without foreign sounds that are not foreign to this user, and its targets."""

    recording: ScoredRecording
    targets: list[Target]
    duration_s: float


class Hit(NamedTuple):
    """Whether a target was reported, and when after its onset (s)."""

    target: Target
    latency_s: float | None


class Outcome(NamedTuple):
    """What a model reports with one set of rules; `alarms` are the false ones, by label."""

    hits: list[Hit]
    alarms: dict[str, int]

    @property
    def n_alarms(self) -> int:
        return sum(self.alarms.values())

    def recall(self, *snrs_db: float) -> float:
        """Share of the targets of these SNRs that were reported; NaN without targets."""
        own = [hit.latency_s is not None for hit in self.hits if hit.target.snr_db in snrs_db]
        return sum(own) / len(own) if own else float("nan")


def take_scores(stream: Stream, lesson: Lesson, model: Model, config: Config) -> Iterator[Take]:
    """Score a stream in pieces: sounds that are not foreign to the user are cut out, with all windows on them."""
    targets = [
        Target(heard.placed.sound.label, heard.placed.snr_db, heard.onset_s, heard.offset_s)
        for heard in stream.heard
        if heard.placed.is_target
    ]
    for hops in _pieces(stream, lesson, model.spec):
        scored = Analyser(model).score_all(hops)
        recording = keep_scores(Path(), scored, make_judge(model, config), len(model.labels), min_score=0.0)
        yield Take(recording, targets, len(hops) * model.spec.hop_samples / model.spec.sample_rate_hz)
        # One piece only, as targets occur in streams of the user's own.
        targets = []


def _pieces(stream: Stream, lesson: Lesson, spec: FeatureSpec) -> Iterator[list[HopFeatures]]:
    cut = [one for one in stream.heard if not one.placed.is_target and not lesson.is_foreign(one.placed.sound)]
    ends_s = np.array([hop.end_sample for hop in stream.hops]) / spec.sample_rate_hz
    is_kept = np.ones(len(ends_s), dtype=bool)
    for one in cut:
        is_kept &= ~_holds(one, ends_s, spec)
    bounds = np.flatnonzero(np.diff(np.concatenate([[False], is_kept, [False]]).astype(int))).tolist()
    for first, end in zip(bounds[::2], bounds[1::2], strict=True):
        yield stream.hops[first:end]


def _holds(one: Heard, ends_s: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    window_s = spec.window_samples / spec.sample_rate_hz
    return (ends_s > one.onset_s) & (ends_s - window_s < one.offset_s)


def rules_of(model: Model, config: Config, shift: float = 0.0) -> list[LabelRule]:
    """The rules by which the model decides, with `shift` added to the logits of their thresholds."""
    rules = make_rules(model.labels, config.decision, model.decision, model.spec.sample_rate_hz)
    return [
        rule._replace(
            onset_threshold=_shifted(rule.onset_threshold, shift),
            offset_threshold=_shifted(rule.offset_threshold, shift),
        )
        for rule in rules
    ]


def _shifted(threshold: float, shift: float) -> float:
    # Exact where nothing is moved: the events are those of a run.
    return float(expit(logit(threshold) + shift)) if shift else threshold


def judge(takes: Sequence[Take], model: Model, rules: Sequence[LabelRule]) -> Outcome:
    """Decide on scores, and compare the events with the targets."""
    hits: list[Hit] = []
    alarms: dict[str, int] = {}
    for i_label, label in enumerate(model.labels):
        if is_reserved(label):
            continue
        alarms[label] = 0
        for take in takes:
            recording = take.recording
            found = replay(recording.tracks[i_label], label, rules[i_label], model.spec, recording.end_sample)
            own = [target for target in take.targets if target.label == label]
            hits += [_hit(target, found) for target in own]
            alarms[label] += sum(not any(target.overlaps(one) for target in own) for one in found)
    return Outcome(hits, alarms)


def _hit(target: Target, found: Sequence[Detection]) -> Hit:
    reported_s = [one.reported_s for one in found if target.overlaps(one)]
    return Hit(target, min(reported_s) - target.onset_s if reported_s else None)
