"""Scores of the events of a model on scenes, through the same pipeline as a live run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np

from streamgmm import units
from streamgmm.dataset.listing import Findings
from streamgmm.dataset.reasons import count_skipped
from streamgmm.dataset.strong_labels import beyond_end
from streamgmm.errors import DataError
from streamgmm.evaluation.event_scoring import (
    Criteria,
    DetectionScores,
    added,
    event_counts,
    false_alarms,
    match_within_collars,
    scores_of_counts,
    segment_counts,
)
from streamgmm.evaluation.psds import psds, tally
from streamgmm.evaluation.recordings import check_labels_known
from streamgmm.evaluation.scenes import ONSET_THRESHOLDS, Scene, SceneResult, detect_in_scenes
from streamgmm.labels import is_reserved
from streamgmm.listening.events import Annotation, Detection
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.training.workers import ProgressTracker, untracked
from streamgmm.wording import escaped

TimedEvent = TypeVar("TimedEvent", Annotation, Detection)

SECONDS_PER_HOUR = 3600.0


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Median and 90th percentile of several times (s)."""

    median: float
    p90: float


class EventScores(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of one label, or of all together; the names are the keys of the JSON report.

    Attributes:
        event_f1: of events with the onset (and offset, if requested) within the collars.
        segment_f1: of segments.
        error_rate: of events; may exceed 1.
        false_alarms_per_hour: detections during which nothing of their label sounds.
        onset_latency_s: from the true onset to the report, over the events that are right; None without any.
        onset_error_s: distance of the detected onset from the true one, either way.
        psds: polyphonic sound detection score over all thresholds, 0 to 1; None for a label without true events.
        event_based: events in detail.
        segment_based: segments in detail.
    """

    event_f1: float | None
    segment_f1: float | None
    error_rate: float | None
    false_alarms_per_hour: float
    onset_latency_s: Spread | None
    onset_error_s: Spread | None
    psds: float | None
    event_based: DetectionScores
    segment_based: DetectionScores


class EventEvaluation(EventScores, frozen=True, kw_only=True):
    """The result of an evaluation of events: all labels together, and each.

    Attributes:
        per_class: scores by label.
        labels: labels of the model that make events.
        n_recordings: scenes that could be read.
        duration_s: their total length (s).
        criteria: when an event is right.
        skipped: number of scenes left out, by reason.
    """

    per_class: dict[str, EventScores]
    labels: list[str]
    n_recordings: int
    duration_s: float
    criteria: Criteria
    skipped: dict[str, int]


class ComparedScene(NamedTuple):
    """The annotations of one scene and its result; both perhaps of one label only."""

    truth: list[Annotation]
    result: SceneResult

    def of_label(self, label: str) -> ComparedScene:
        """Return the events of `label` alone."""
        duration_s, found, by_threshold = self.result
        some = [_of_label(events, label) for events in by_threshold]
        return ComparedScene(_of_label(self.truth, label), SceneResult(duration_s, _of_label(found, label), some))


def evaluate_events(
    scenes: Sequence[Scene],
    model: Model,
    config: Config,
    criteria: Criteria,
    *,
    findings: Findings,
    where: Path,
    track: ProgressTracker = untracked,
) -> EventEvaluation:
    """Stream every scene through the pipeline, and compare its events with the truth.

    Args:
        scenes: annotated recordings.
        model: what to recognise.
        config: how to decide.
        criteria: when an event is right.
        findings: receives scenes that cannot be read, and warnings of events beyond the end of their scene.
        where: the data set, for messages.
        track: shows the progress.

    Raises:
        DataError: a true label is unknown to the model, no scene can be read, or all events lie beyond the end of their
            recordings.
    """
    check_labels_known((event.label for scene in scenes for event in scene.events), model, where=where)
    compared = []
    results = track(detect_in_scenes(scenes, model, config), "listening", len(scenes))
    for scene, result in zip(scenes, results, strict=True):
        # Its length is known only after it was streamed, so events beyond its end are found here.
        if isinstance(result, SceneResult):
            compared.append(ComparedScene(_within(scene, result.duration_s, findings), result))
        else:
            findings.skipped.append(result)
    if not compared:
        raise DataError("none of its recordings can be read", where=str(where))
    if not any(scene.truth for scene in compared):
        what = "no recording has an event before its end, so there is nothing to find"
        raise DataError(what, where=str(where), hint="are the times of the labels in seconds?")
    labels = [label for label in model.labels if not is_reserved(label)]
    return _evaluate(compared, labels, criteria, count_skipped(findings.skipped))


def score(scenes: Sequence[ComparedScene], criteria: Criteria, psds_value: float | None) -> EventScores:
    """Return the scores of `scenes`, whose events are of one label or of all; `psds_value` is passed on."""
    pairs, in_events, in_segments, n_false = [], [], [], 0
    for truth, (duration_s, found, _) in scenes:
        matches = match_within_collars(truth, found, criteria)
        pairs += matches.pairs
        in_events.append(event_counts(matches))
        in_segments.append(segment_counts(truth, found, duration_s, criteria.segment_s))
        # Not the insertions: an event that is reported twice or too late is wrong, but no false alarm.
        n_false += len(false_alarms(truth, found, criteria.onset_collar_s))
    event_based, segment_based = scores_of_counts(added(in_events)), scores_of_counts(added(in_segments))
    right = [pair for pair in pairs if pair.is_right]
    return EventScores(
        event_f1=event_based.f1,
        segment_f1=segment_based.f1,
        error_rate=event_based.error_rate,
        false_alarms_per_hour=n_false / _hours_of_scenes(scenes),
        onset_latency_s=_spread(pair.latency_s for pair in right),
        onset_error_s=_spread(abs(pair.onset_error_s) for pair in right),
        psds=psds_value,
        event_based=event_based,
        segment_based=segment_based,
    )


def psds_of_label(scenes: Sequence[ComparedScene]) -> float | None:
    """Return the polyphonic sound detection score of scenes with events of one label; None without true events."""
    n_true = sum(len(scene.truth) for scene in scenes)
    if not n_true:
        return None
    n_thresholds = len(ONSET_THRESHOLDS)
    # Shape (n_thresholds, n_scenes, 2): true events that were found, and false detections.
    tallies = np.array(
        [[tally(truth, result.found_by_threshold[i]) for truth, result in scenes] for i in range(n_thresholds)]
    )
    n_found, n_false = tallies.sum(axis=1).T
    # A single column: the score is averaged over labels, and these events are all of one.
    return psds(n_found[:, np.newaxis] / n_true, n_false[:, np.newaxis] / _hours_of_scenes(scenes))


def _evaluate(
    compared: Sequence[ComparedScene], labels: list[str], criteria: Criteria, skipped: dict[str, int]
) -> EventEvaluation:
    per_class = {}
    for label in labels:
        own = [scene.of_label(label) for scene in compared]
        per_class[label] = score(own, criteria, psds_of_label(own))
    # The score of all labels is the mean over those with true events, not that of all events together.
    psds_values = [scores.psds for scores in per_class.values() if scores.psds is not None]
    total = score(compared, criteria, float(np.mean(psds_values)) if psds_values else None)
    return EventEvaluation(
        **msgspec.structs.asdict(total),
        per_class=per_class,
        labels=labels,
        n_recordings=len(compared),
        duration_s=units.round_s(sum(scene.result.duration_s for scene in compared)),
        criteria=criteria,
        skipped=skipped,
    )


def _hours_of_scenes(scenes: Sequence[ComparedScene]) -> float:
    return sum(scene.result.duration_s for scene in scenes) / SECONDS_PER_HOUR


def _spread(times_s: Iterable[float]) -> Spread | None:
    values_s = list(times_s)
    if not values_s:
        return None
    median_s, p90_s = np.percentile(values_s, [50, 90])
    return Spread(median=units.round_s(float(median_s)), p90=units.round_s(float(p90_s)))


def _of_label(events: Iterable[TimedEvent], label: str) -> list[TimedEvent]:
    return [event for event in events if event.label == label]


def _within(scene: Scene, duration_s: float, findings: Findings) -> list[Annotation]:
    """Return the events of `scene`, cut off where the recording ends; those that exceed it are reported in a line."""
    all_of_them = (beyond_end(escaped(e.label), e.onset_s, e.offset_s, duration_s) for e in scene.events)
    if problems := list(filter(None, all_of_them)):
        more = f", and {len(problems) - 1} more do so" if len(problems) > 1 else ""
        findings.warn(f"{scene.path}: {problems[0]}{more}")
    return [e._replace(offset_s=min(e.offset_s, duration_s)) for e in scene.events if e.onset_s < duration_s]
