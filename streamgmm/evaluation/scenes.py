"""Scenes: recordings whose events are annotated, and the events that a stream of them reports."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from streamgmm.dataset.dataset import list_recordings
from streamgmm.dataset.listing import Findings, Segment, Skipped
from streamgmm.errors import DataError
from streamgmm.evaluation.recordings import map_recordings
from streamgmm.labels import is_reserved
from streamgmm.listening.events import Annotation, Detection
from streamgmm.listening.recordings import detect, hops_of
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.settings.decision import LabelSection

ONSET_THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Onset thresholds that are tried, closer together where posteriors are: about even in log odds."""


class Scene(NamedTuple):
    """A recording and its true events in order of onset; those of one label do not overlap."""

    path: Path
    events: list[Annotation]


class SceneResult(NamedTuple):
    """The events that a stream of one scene reports.

    Attributes:
        duration_s: length of the recording (s).
        found: events with the settings as they are.
        found_by_threshold: events with each of `ONSET_THRESHOLDS` in place of the onset threshold.
    """

    duration_s: float
    found: list[Detection]
    found_by_threshold: list[list[Detection]]


def read_scenes(path: Path, findings: Findings, folds: Collection[str] = ()) -> list[Scene]:
    """Read the scenes of the data set at `path`.

    Recordings with labelled stretches are scenes, and so is one that is background as a whole. A recording with a
    class as its only label is left out, as its onsets are unknown. Stretches with reserved labels are not events.

    Raises:
        DataError: there is no scene with an event, or the data set is wrong (see `list_recordings`).
        InputMissingError: there is nothing at `path`.
        PermissionDeniedError: it may not be read.
    """
    scenes = []
    for entry in list_recordings(path, findings, folds).entries:
        if all(not segment.is_whole or is_reserved(segment.label) for segment in entry.segments):
            scenes.append(Scene(entry.path, without_overlaps(s for s in entry.segments if not is_reserved(s.label))))
        else:
            findings.skip(entry.path, "no_onsets")
    if not scenes:
        hint = "put label files beside recordings, or an events.tsv: onset, offset and label, tab-separated"
        raise DataError("no recording has labels with onsets and offsets", where=str(path), hint=hint)
    if not any(scene.events for scene in scenes):
        raise DataError("no recording has an event, so there is nothing to find", where=str(path))
    return scenes


def without_overlaps(stretches: Iterable[Segment]) -> list[Annotation]:
    """Return stretches in order of onset, with those of one label that overlap merged.

    A stream reports one event of a label at a time, so that overlapping ones could not all be found.
    """
    merged: list[Annotation] = []
    last_of: dict[str, int] = {}
    for stretch in sorted(stretches, key=lambda stretch: (stretch.onset_s, stretch.label)):
        i_last = last_of.get(stretch.label)
        if i_last is not None and stretch.onset_s < merged[i_last].offset_s:
            merged[i_last] = merged[i_last]._replace(offset_s=max(merged[i_last].offset_s, stretch.offset_s))
        # A point in time marks no sound that could be found.
        elif not stretch.is_point:
            last_of[stretch.label] = len(merged)
            merged.append(Annotation(stretch.label, stretch.onset_s, stretch.offset_s))
    return merged


def detect_in_scenes(scenes: Sequence[Scene], model: Model, config: Config) -> Iterator[SceneResult | Skipped]:
    """Yield the events of each scene, or why it was left out, in order, on all cores."""
    work = partial(detect_in_scene, model=model, config=config)
    return map_recordings(work, [scene.path for scene in scenes], config.training.n_jobs)


def detect_in_scene(path: Path, model: Model, config: Config) -> SceneResult:
    """Stream the recording at `path` once, and decide again for each threshold.

    Raises:
        RecordingError: it cannot be read.
    """
    hops = list(hops_of(path, model, config))
    duration_s = hops[-1].end_sample / model.spec.sample_rate_hz if hops else 0.0
    configs = [with_threshold(config, model.labels, threshold) for threshold in ONSET_THRESHOLDS]
    return SceneResult(duration_s, detect(hops, model, config), [detect(hops, model, own) for own in configs])


def with_threshold(config: Config, labels: Sequence[str], onset_threshold: float) -> Config:
    """Return `config` with one onset threshold for all labels; the offset threshold keeps its ratio to it."""
    decision = config.decision
    # The hysteresis stays the same in proportion; only the working point moves.
    ratio = decision.offset_threshold / decision.onset_threshold
    thresholds = {"onset_threshold": onset_threshold, "offset_threshold": ratio * onset_threshold}
    # Label by label, because the model's own section of a label takes precedence over the common setting.
    sections = {label: decision.labels.get(label, LabelSection()) for label in labels}
    own = {label: msgspec.structs.replace(section, **thresholds) for label, section in sections.items()}
    return msgspec.structs.replace(config, decision=msgspec.structs.replace(decision, labels=own))
