"""Ablation: held-out accuracy without each part of the trainer in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from streamgmm.features.window import window_layout
from streamgmm.settings.training import TrainingSection
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.extraction.extraction import masked
from streamgmm.training.extraction.task import ExtractionTask
from streamgmm.training.fitting.fitting import unconverged_allowed
from streamgmm.training.selection.validation import validate
from streamgmm.training.workers import ProgressTracker, untracked

WITHOUT: dict[str, dict[str, Any]] = {
    "cepstral frames": {"cepstra": "never"},
    # Without refinement, mixtures do better with fewer dimensions.
    "refinement": {"refinement": False, "n_principal": 4},
    "bottleneck": {"bottleneck": "never"},
    "altered copies": {"copies": False},
    "principal components": {"n_principal": 0},
    "shrinkage of the discriminants": {"lda_shrinkage": 0.0},
    "several components": {"n_components": 1},
}
"""The settings that leave a part out; the kinds of features are further parts."""


class Ablation(NamedTuple):
    """Accuracy without one part of the trainer.

    Attributes:
        name: the part that was left out; empty if none was.
        accuracy: share of held-out clips that were recognised.
        standard_error: of that share, clips taken as independent.
    """

    name: str
    accuracy: float
    standard_error: float


def ablate(
    clips: Sequence[ClipVectors],
    labels: Sequence[str],
    task: ExtractionTask,
    *,
    max_parts: int | None = None,
    track: ProgressTracker = untracked,
) -> list[Ablation]:
    """Hold out clips by source, first with everything and then without each part in turn, without any search.

    The result is empty where no clip can be held out.

    Args:
        clips: the measured clips.
        labels: sorted names.
        task: how they were measured; parts are left out of its training settings.
        max_parts: number of parts to try; None for all.
        track: shows the progress.
    """
    # A search could make up for the part that was left out, and would be repeated for each part.
    training = msgspec.structs.replace(task.training, search=False)
    trials = [_Ablated("", training), *_without_settings(training), *_without_features(training, task)][:max_parts]
    parts = [_part(trial, clips, labels, task) for trial in track(trials, "leaving out parts", len(trials))]
    return [part for part in parts if part is not None]


class _Ablated(NamedTuple):
    """The part to leave out, and the settings to fit clips with."""

    name: str
    training: TrainingSection
    kind: str | None = None


def _without_settings(training: TrainingSection) -> Iterator[_Ablated]:
    for name, settings in WITHOUT.items():
        changed = msgspec.structs.replace(training, **settings)
        # A part that the settings already leave out would be compared with itself.
        if changed != training:
            yield _Ablated(name, changed)


def _without_features(training: TrainingSection, task: ExtractionTask) -> Iterator[_Ablated]:
    for kind in dict.fromkeys(block.kind for block in window_layout(task.spec)):
        if kind not in training.without:
            yield _Ablated(kind, training, kind)


def _part(
    trial: _Ablated, clips: Sequence[ClipVectors], labels: Sequence[str], task: ExtractionTask
) -> Ablation | None:
    if trial.kind is not None:
        # Masked after measuring: constant features get no projection, so no recording is measured again.
        without = partial(masked, kinds=[trial.kind], spec=task.spec)
        clips = [clip._replace(vectors=without(clip.vectors), copies=without(clip.copies)) for clip in clips]
    with unconverged_allowed():
        accuracy = validate(clips, labels, trial.training).accuracy
    # Standard error of a share: that of a binomial distribution.
    return (
        None if accuracy is None else Ablation(trial.name, accuracy, (accuracy * (1.0 - accuracy) / len(clips)) ** 0.5)
    )
