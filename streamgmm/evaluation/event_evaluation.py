"""How good the events of a model are on scenes, through the very pipeline that runs live."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np

from streamgmm import units
from streamgmm.config import Config
from streamgmm.dataset.listing import Findings, Segment
from streamgmm.dataset.reasons import count_skipped
from streamgmm.errors import DataError
from streamgmm.evaluation.event_scoring import (
    Criteria,
    Scores,
    added,
    event_counts,
    false_alarms,
    match_events,
    scores_of,
    segment_counts,
)
from streamgmm.evaluation.found_events import TimedLabel
from streamgmm.evaluation.psds import psds, tally
from streamgmm.evaluation.scenes import THRESHOLDS, Hearing, Scene, hear_scenes
from streamgmm.labels import is_reserved
from streamgmm.model.model import Model
from streamgmm.training.workers import ProgressTracker, untracked
from streamgmm.wording import escaped

Event = TypeVar("Event", bound=TimedLabel)

SECONDS_PER_HOUR = 3600.0


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Of several times (s): the middle one, and the one that nine of ten do not exceed."""

    median: float
    p90: float


class EventScores(msgspec.Struct, frozen=True, kw_only=True):
    """How one label fared, or all together; the names are the keys of the JSON report.

    Attributes:
        event_f1: of events with the onset (and offset, if asked for) within the collars.
        segment_f1: of segments.
        error_rate: of events.
        false_alarms_per_hour: found events during which nothing of their label sounds.
        onset_latency_s: from the true onset to the record that told it, over the events that are right;
            None if none is.
        onset_error_s: how far the onset in the record is from the true one, either way.
        psds: polyphonic sound detection score over all thresholds; None for a label without true events.
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
    event_based: Scores
    segment_based: Scores


class EventEvaluation(EventScores, frozen=True, kw_only=True):
    """The result of an evaluation of events: all labels together, and each.

    Attributes:
        per_class: by label.
        labels: those of the model that make events.
        n_recordings: how many were heard.
        duration_s: of all of them (s).
        criteria: what counted as right.
        skipped: recordings left out, by reason.
    """

    per_class: dict[str, EventScores]
    labels: list[str]
    n_recordings: int
    duration_s: float
    criteria: Criteria
    skipped: dict[str, int]


class HeardScene(NamedTuple):
    """The truth of one scene and what was found in it; both perhaps of one label only."""

    truth: list[Segment]
    hearing: Hearing

    def of_label(self, label: str) -> HeardScene:
        """What concerns `label`."""
        duration_s, found, by_threshold = self.hearing
        some = [_of_label(events, label) for events in by_threshold]
        return HeardScene(_of_label(self.truth, label), Hearing(duration_s, _of_label(found, label), some))


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
        scenes: what to hear.
        model: what to recognise.
        config: how to decide.
        criteria: what counts as right.
        findings: is told of scenes that cannot be read, and of events that lie beyond the end of theirs.
        where: the data set, for messages.
        track: shows how far the work is.

    Raises:
        DataError: a true label is unknown to the model, or no scene can be read.
    """
    check_labels_known(scenes, model, where=where)
    heard = []
    hearings = track(hear_scenes(scenes, model, config), "listening", len(scenes))
    for scene, hearing in zip(scenes, hearings, strict=True):
        if isinstance(hearing, Hearing):
            heard.append(HeardScene(_within(scene, hearing.duration_s, findings), hearing))
        else:
            findings.skipped.append(hearing)
    if not heard:
        raise DataError("none of its recordings can be read", where=str(where))
    labels = [label for label in model.labels if not is_reserved(label)]
    return _summarise(heard, labels, criteria, count_skipped(findings.skipped))


def check_labels_known(scenes: Iterable[Scene], model: Model, *, where: Path) -> None:
    """Refuse scenes with events that the model cannot tell.

    Raises:
        DataError: there are such events.
    """
    missing = sorted({event.label for scene in scenes for event in scene.events} - set(model.labels))
    if missing:
        names = ", ".join(f"'{label}'" for label in missing)
        raise DataError(f"has labels that the model does not know: {names}", where=str(where))


def score(scenes: Sequence[HeardScene], criteria: Criteria, psds_value: float | None) -> EventScores:
    """The scores of `scenes`, whose events are of one label or of all; `psds_value` is passed on."""
    pairs, in_events, in_segments, n_false = [], [], [], 0
    for truth, (duration_s, found, _) in scenes:
        matched = match_events(truth, found, criteria)
        pairs += matched
        in_events.append(event_counts(truth, found, matched))
        in_segments.append(segment_counts(truth, found, duration_s, criteria.segment_s))
        n_false += len(false_alarms(truth, found, criteria.onset_collar_s))
    event_based, segment_based = scores_of(added(in_events)), scores_of(added(in_segments))
    right = [pair for pair in pairs if pair.is_right]
    return EventScores(
        event_f1=event_based.f1,
        segment_f1=segment_based.f1,
        error_rate=event_based.error_rate,
        false_alarms_per_hour=n_false / _hours(scenes),
        onset_latency_s=_spread(pair.latency_s for pair in right),
        onset_error_s=_spread(abs(pair.onset_error_s) for pair in right),
        psds=psds_value,
        event_based=event_based,
        segment_based=segment_based,
    )


def psds_of_label(scenes: Sequence[HeardScene]) -> float | None:
    """The polyphonic sound detection score of `scenes`, which hold events of one label; None without true events."""
    n_true = sum(len(scene.truth) for scene in scenes)
    if not n_true:
        return None
    tallies = np.array(
        [[tally(truth, hearing.found_by_threshold[i]) for truth, hearing in scenes] for i in range(len(THRESHOLDS))]
    )
    n_found, n_false = tallies.sum(axis=1).T
    return psds(n_found[:, np.newaxis] / n_true, n_false[:, np.newaxis] / _hours(scenes))


def _summarise(
    heard: Sequence[HeardScene], labels: list[str], criteria: Criteria, skipped: dict[str, int]
) -> EventEvaluation:
    per_class = {}
    for label in labels:
        own = [scene.of_label(label) for scene in heard]
        per_class[label] = score(own, criteria, psds_of_label(own))
    psds_values = [scores.psds for scores in per_class.values() if scores.psds is not None]
    total = score(heard, criteria, float(np.mean(psds_values)) if psds_values else None)
    return EventEvaluation(
        **msgspec.structs.asdict(total),
        per_class=per_class,
        labels=labels,
        n_recordings=len(heard),
        duration_s=units.round_s(sum(scene.hearing.duration_s for scene in heard)),
        criteria=criteria,
        skipped=skipped,
    )


def _hours(scenes: Sequence[HeardScene]) -> float:
    return sum(scene.hearing.duration_s for scene in scenes) / SECONDS_PER_HOUR


def _spread(times_s: Iterable[float]) -> Spread | None:
    values_s = list(times_s)
    if not values_s:
        return None
    median_s, p90_s = np.percentile(values_s, [50, 90])
    return Spread(median=units.round_s(float(median_s)), p90=units.round_s(float(p90_s)))


def _of_label(events: Iterable[Event], label: str) -> list[Event]:
    return [event for event in events if event.label == label]


def _within(scene: Scene, duration_s: float, findings: Findings) -> list[Segment]:
    """The events of `scene`, cut off where it ends."""
    beyond = [event for event in scene.events if event.onset_s >= duration_s]
    if beyond:
        findings.warn(f"{scene.path}: {escaped(beyond[0].label)!r} at {beyond[0].onset_s} s lies beyond its end")
    return [e._replace(offset_s=min(e.offset_s, duration_s)) for e in scene.events if e.onset_s < duration_s]
