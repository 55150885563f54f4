"""What each part of the trainer is worth: everything once more, without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from streamgmm.config import TrainingSection
from streamgmm.features.window import window_layout
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.extraction.extraction import ExtractionTask, masked
from streamgmm.training.fitting.fitting import unconverged_allowed
from streamgmm.training.selection.validation import validate
from streamgmm.training.workers import ProgressTracker, untracked

WITHOUT: dict[str, dict[str, Any]] = {
    "cepstral frames": {"cepstra": "never"},
    # Mixtures that are not refined do better with fewer dimensions.
    "refinement": {"refinement": False, "n_principal": 4},
    "altered copies": {"copies": False},
    "principal components": {"n_principal": 0},
    "shrinkage of the discriminants": {"lda_shrinkage": 0.0},
    "several components": {"n_components": 1},
}
"""The settings that leave a part out; the kinds of features are further parts."""


class Part(NamedTuple):
    """How clips fared without a part.

    Attributes:
        name: of what was left out; empty if nothing was.
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
) -> list[Part]:
    """Hold out clips by source, first with everything and then without each part in turn, without any search.

    Nothing is said where no clip can be held out.

    Args:
        clips: what was measured.
        labels: sorted names.
        task: how it was measured; its settings of training are what a part is left out of.
        max_parts: stop after so many; None for all.
        track: shows the parts.
    """
    training = msgspec.structs.replace(task.training, search=False)
    trials = [_Ablated("", training), *_without_settings(training), *_without_features(training, task)][:max_parts]
    parts = [_part(trial, clips, labels, task) for trial in track(trials, "leaving out parts", len(trials))]
    return [part for part in parts if part is not None]


class _Ablated(NamedTuple):
    """What is left out, and how clips are fitted then."""

    name: str
    training: TrainingSection
    kind: str | None = None


def _without_settings(training: TrainingSection) -> Iterator[_Ablated]:
    for name, settings in WITHOUT.items():
        changed = msgspec.structs.replace(training, **settings)
        if changed != training:
            yield _Ablated(name, changed)


def _without_features(training: TrainingSection, task: ExtractionTask) -> Iterator[_Ablated]:
    for kind in dict.fromkeys(block.kind for block in window_layout(task.spec)):
        if kind not in training.without:
            yield _Ablated(kind, training, kind)


def _part(trial: _Ablated, clips: Sequence[ClipVectors], labels: Sequence[str], task: ExtractionTask) -> Part | None:
    if trial.kind is not None:
        without = partial(masked, kinds=[trial.kind], spec=task.spec)
        clips = [clip._replace(vectors=without(clip.vectors), copies=without(clip.copies)) for clip in clips]
    with unconverged_allowed():
        accuracy = validate(clips, labels, trial.training).accuracy
    return None if accuracy is None else Part(trial.name, accuracy, (accuracy * (1.0 - accuracy) / len(clips)) ** 0.5)
