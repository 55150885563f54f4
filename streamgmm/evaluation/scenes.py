"""Scenes: recordings of which it is known what sounds when, and what a stream of them says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from streamgmm.audio.file import RecordingFile
from streamgmm.audio.reading import RecordingError
from streamgmm.config import Config, LabelSection
from streamgmm.dataset.dataset import list_recordings
from streamgmm.dataset.listing import Entry, Findings, Segment, Skipped
from streamgmm.decision.hop_scores import HopScores
from streamgmm.errors import DataError
from streamgmm.evaluation.found_events import FoundEvent, events_of
from streamgmm.labels import is_reserved
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline
from streamgmm.service.recordings import blocks_of
from streamgmm.training.workers import map_in_order

THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Onset thresholds that are tried, closer together where posteriors are: about even in log odds."""


class Scene(NamedTuple):
    """A recording and its truth.

    Attributes:
        path: the recording.
        events: what sounds in it, in order of onset; those of one label do not overlap.
    """

    path: Path
    events: list[Segment]


class Hearing(NamedTuple):
    """What a stream of one scene said.

    Attributes:
        duration_s: length of the recording (s).
        found: the events with the settings as they are.
        found_by_threshold: the events with each of `THRESHOLDS` in place of the onset threshold.
    """

    duration_s: float
    found: list[FoundEvent]
    found_by_threshold: list[list[FoundEvent]]


def read_scenes(path: Path, findings: Findings, folds: Collection[str] = ()) -> list[Scene]:
    """The scenes of the data set at `path`.

    Recordings with labelled stretches are scenes, and so is one that is background as a whole. One
    with a class as its only label is left out: nobody knows when it sounds in it. Labelled stretches
    of reserved labels are no events.

    Raises:
        DataError: there is no scene with an event, or the data set is wrong (see `list_recordings`).
        InputMissingError: there is nothing at `path`.
        PermissionDeniedError: it may not be read.
    """
    scenes = []
    for entry in list_recordings(path, findings, folds).entries:
        if _is_timed(entry):
            scenes.append(Scene(entry.path, without_overlaps(s for s in entry.segments if not is_reserved(s.label))))
        else:
            findings.skip(entry.path, "no_onsets")
    if not scenes:
        hint = "put label files beside recordings, or an events.tsv: onset, offset and label, tab-separated"
        raise DataError("no recording says when its sounds begin and end", where=str(path), hint=hint)
    if not any(scene.events for scene in scenes):
        raise DataError("no recording has an event, so there is nothing to find", where=str(path))
    return scenes


def without_overlaps(stretches: Iterable[Segment]) -> list[Segment]:
    """`stretches` in order of onset; those of one label that overlap are one, as a stream tells one at a time."""
    merged: list[Segment] = []
    last_of: dict[str, int] = {}
    for stretch in sorted(stretches, key=lambda stretch: (stretch.onset_s, stretch.label)):
        i_last = last_of.get(stretch.label)
        if i_last is not None and stretch.onset_s < merged[i_last].offset_s:
            merged[i_last] = merged[i_last]._replace(offset_s=max(merged[i_last].offset_s, stretch.offset_s))
        elif not stretch.is_point:
            last_of[stretch.label] = len(merged)
            merged.append(stretch)
    return merged


def hear_scenes(scenes: Sequence[Scene], model: Model, config: Config) -> Iterator[Hearing | Skipped]:
    """What the stream says of each scene, in order, on all cores; or why it was left out."""
    work = partial(_hear_scene, model=model, config=config)
    return map_in_order(work, scenes, config.training.n_jobs)


def hear(path: Path, model: Model, config: Config) -> Hearing:
    """Stream the recording at `path` once through the pipeline, and decide again for each threshold.

    Features and likelihoods do not depend on thresholds, so their hops are kept and only the
    decisions are made anew.

    Raises:
        RecordingError: it cannot be read.
    """
    pipeline = Pipeline(model, config)
    hops: list[HopScores] = []
    n_samples = 0
    with closing(RecordingFile(path, channel=config.source.channel)) as source:
        source.open(model.spec.sample_rate_hz)
        for samples in blocks_of(source):
            n_samples += len(samples)
            hops += pipeline.analyser.push(samples)
    hops += pipeline.analyser.flush()
    found = events_of(pipeline.decide(hops) + pipeline.flush())
    by_threshold = [_decide(hops, model, with_threshold(config, model.labels, value)) for value in THRESHOLDS]
    return Hearing(n_samples / model.spec.sample_rate_hz, found, by_threshold)


def with_threshold(config: Config, labels: Sequence[str], onset_threshold: float) -> Config:
    """`config` with one onset threshold for all labels; the offset threshold keeps its ratio to it."""
    decision = config.decision
    ratio = decision.offset_threshold / decision.onset_threshold
    thresholds = {"onset_threshold": onset_threshold, "offset_threshold": ratio * onset_threshold}
    # Label by label, because what the model says of a label goes before the common setting.
    sections = {label: decision.labels.get(label, LabelSection()) for label in labels}
    own = {label: msgspec.structs.replace(section, **thresholds) for label, section in sections.items()}
    return msgspec.structs.replace(config, decision=msgspec.structs.replace(decision, labels=own))


def _is_timed(entry: Entry) -> bool:
    """Whether it is known when each event of `entry` begins and ends."""
    return all(not stretch.is_whole or is_reserved(stretch.label) for stretch in entry.segments)


def _hear_scene(scene: Scene, model: Model, config: Config) -> Hearing | Skipped:
    try:
        return hear(scene.path, model, config)
    except RecordingError as error:
        return Skipped(scene.path, error.reason)


def _decide(hops: Sequence[HopScores], model: Model, config: Config) -> list[FoundEvent]:
    pipeline = Pipeline(model, config)
    return events_of(pipeline.decide(hops) + pipeline.flush())
