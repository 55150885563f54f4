"""Fit a model again to its training cache and other clips, and compare its scores on the clips that it had.

The model is fitted from scratch: projection, mixtures and calibration use all classes, as in a training. The old model
is not modified, so errors do not accumulate over repeated changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from streamgmm.dataset.clips import Clip
from streamgmm.dataset.listing import Findings
from streamgmm.labels import BACKGROUND
from streamgmm.model.classifier import Classifier
from streamgmm.model.model import Model
from streamgmm.model.room_card import room_card
from streamgmm.settings.decision import DecisionSection, LabelSection
from streamgmm.training.enrolment.comparison import HeldOutScores, ModelComparison, scores_in_card
from streamgmm.training.enrolment.training_cache import TrainingCache, make_cache
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.extraction.extraction import extract_clips
from streamgmm.training.extraction.task import ExtractionTask
from streamgmm.training.selection.calibration import calibrated
from streamgmm.training.selection.held_out import HeldOutClips
from streamgmm.training.selection.validation import Validation, count_right
from streamgmm.training.trainer import decide_thresholds, fit_calibrated, make_card
from streamgmm.training.workers import ProgressTracker, untracked

MIN_RECORDINGS_PER_PROCESS = 8
"""With fewer, starting a process takes longer than measuring them."""


class ModelChange(NamedTuple):
    """A model that was fitted again, and the effect on its classes.

    Attributes:
        model: the new model, not saved yet.
        cache: training cache of the new model.
        comparison: scores of the old model, from its card, and of the new one.
        notes: choices that the fit made.
    """

    model: Model
    cache: TrainingCache
    comparison: ModelComparison
    notes: list[str]


def measure_like(
    model: Model,
    cache: TrainingCache,
    clips: Sequence[Clip],
    findings: Findings,
    *,
    n_jobs: int = 0,
    is_cached: bool = True,
    track: ProgressTracker = untracked,
) -> list[ClipVectors]:
    """Measure new clips as those of a model were measured.

    Args:
        model: decides whether cepstral frames are measured.
        cache: training cache of `model`.
        clips: see `new_clips`.
        findings: collects recordings that turn out to be silent.
        n_jobs: number of processes; 0 for one per core.
        is_cached: whether measured clips are kept for other trainings.
        track: shows the progress.
    """
    task = _task_like(model, cache.task, n_jobs if len(clips) >= MIN_RECORDINGS_PER_PROCESS else 1)
    task = msgspec.structs.replace(task, training=msgspec.structs.replace(task.training, cache=is_cached))
    extraction = extract_clips(clips, task, track)
    findings.skipped.extend(extraction.skipped)
    return extraction.clips


def refit(
    model: Model, cache: TrainingCache, clips: Sequence[ClipVectors], track: ProgressTracker = untracked
) -> ModelChange:
    """Fit `model` again to `clips`, with a new training cache and a comparison of scores.

    Args:
        model: is not modified.
        cache: training cache of `model`.
        clips: those of `cache` that are still to be learnt, and new ones.
        track: shows the progress.
    """
    known = {clip.clip.content_sha256 for clip in cache.clips}
    new_windows = Counter[str]()
    for clip in clips:
        if clip.clip.content_sha256 not in known:
            new_windows[clip.clip.label] += len(clip.vectors)
    # Reduced to the cache first and fitted to that: the next change starts from the same vectors as this one.
    kept = make_cache(clips, cache.task, has_cepstra=cache.has_cepstra)
    labels = kept.labels
    task = _task_like(model, cache.task, cache.task.training.n_jobs)
    fit, validation = fit_calibrated(kept.clips, labels, task, track)
    classifier = calibrated(fit, validation.calibration)
    # Priors and decision settings are the user's; a new class gets the default ones.
    priors = dict(zip(model.labels, model.classifier.priors.tolist(), strict=True))
    card = _new_card(model, kept, validation, new_windows)
    refitted = Model(
        name=model.name,
        spec=model.spec,
        classifier=classifier.with_priors({name: priors[name] for name in labels if name in priors}),
        decision=_decision(model, classifier, validation, card),
        card=card,
        # The cache keeps too few windows of each clip, and not in order: the density stays that of the training.
        density=model.density if BACKGROUND in labels else None,
    )
    # The fit may have dropped cepstral frames because a class has too few; the cache must agree with the model.
    kept = kept if refitted.classifier.cepstra else make_cache(kept.clips, kept.task, has_cepstra=False)
    notes = [*fit.notes, *validation.notes, *_decision_notes(model, new_windows)]
    after = scores_in_card(card)
    again = _scores_on(known, model, classifier, validation) if new_windows else after
    return ModelChange(refitted, kept, ModelComparison(scores_in_card(model.card), after, again), notes)


def _scores_on(known: Collection[str], model: Model, classifier: Classifier, validation: Validation) -> HeldOutScores:
    """Return the scores on the recordings with these hashes alone: new ones of a class may be harder."""
    if validation.held_out is None:
        return HeldOutScores()
    clips = [clip for clip in validation.held_out.clips if clip.is_world or clip.content_sha256 in known]
    same = HeldOutClips(clips, classifier.n_labels)
    recalls, accuracy = count_right(same.clean, classifier.labels, validation.calibration)
    counts = np.bincount(same.clean.label_indices, minlength=classifier.n_labels).tolist()
    card: dict[str, Any] = {}
    _decision(model, classifier, validation._replace(held_out=same), card)
    return HeldOutScores(
        held_out_accuracy=accuracy,
        held_out_recalls=recalls,
        n_clips=dict(zip(classifier.labels, counts, strict=True)),
        room=room_card(card),
    )


def _task_like(model: Model, task: ExtractionTask, n_jobs: int) -> ExtractionTask:
    """Return how to measure and fit clips for `model`: with cepstral frames only if it has them."""
    frames = "never" if model.classifier.cepstra is None else "always"
    training = msgspec.structs.replace(task.training, cepstra=frames, n_jobs=n_jobs)
    return msgspec.structs.replace(task, training=training)


def _decision(
    model: Model, classifier: Classifier, validation: Validation, card: dict[str, Any]
) -> dict[str, LabelSection]:
    """Return the thresholds for the budget of the old model's training; those of `tune` are kept for their labels."""
    kept = {name: section for name, section in model.decision.items() if name in classifier.labels}
    room = model.card.get("room")
    if "tuning" in model.card or not isinstance(room, Mapping):
        return kept
    try:
        section = msgspec.convert({"max_false_alarms_per_hour": room.get("max_false_alarms_per_hour")}, DecisionSection)
    except msgspec.ValidationError:  # the card is free-form
        return kept
    decision, _ = decide_thresholds(validation, classifier, model.spec, section, card)
    return decision


def _new_card(model: Model, kept: TrainingCache, validation: Validation, new_windows: Counter[str]) -> dict[str, Any]:
    """Return a card as of a training on all clips; its window counts include windows that the cache does not keep."""
    # Counts of windows not in the cache come from the old card; a card without them falls back to the cache.
    card = make_card(kept.labels, kept.task, kept.clips, validation)
    n_kept = card["n_windows"]
    before = _whole_numbers(model.card.get("n_windows"))
    card["n_windows"] = {
        label: before.get(label, 0 if label in new_windows else n_kept[label]) + new_windows[label] for label in n_kept
    }
    card["n_windows_kept"] = n_kept
    # Marked rather than dropped: the thresholds are still those of that tuning, though its rates no longer hold.
    if isinstance(model.card.get("tuning"), Mapping):
        card["tuning"] = {**model.card["tuning"], "is_of_an_earlier_model": True}
    return card


def _decision_notes(model: Model, new_windows: Mapping[str, int]) -> Iterator[str]:
    if model.density and new_windows.get(BACKGROUND):
        yield "anomalies are still those beside the background of the training: `train` again to have all of it"
    if "tuning" in model.card:
        yield "thresholds are those that `tune` set for the old model: run `tune` again to control the false alarms"


def _whole_numbers(value: Any) -> dict[str, int]:
    try:
        return msgspec.convert(value, dict[str, int])
    # Cards are free-form: another program may use this key for something else.
    except msgspec.ValidationError:
        return {}
