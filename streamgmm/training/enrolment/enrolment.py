"""Add, extend or remove a class of a model without the recordings of the other classes.

The model is fitted from scratch to its training cache and the new clips: projection, mixtures and calibration use all
classes, as in a training. The old model is not modified, so errors do not accumulate over repeated changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streamgmm.dataset.clips import Clip, Examiner
from streamgmm.dataset.listing import Entry, Findings, Segment
from streamgmm.dataset.reasons import left_out_lines
from streamgmm.dataset.scan import recordings_below
from streamgmm.errors import DataError, InputMissingError, UsageError
from streamgmm.files import path_kind
from streamgmm.labels import RESERVED, SILENCE, UNKNOWN, check_label, check_labels
from streamgmm.model.classifier import Classifier
from streamgmm.model.model import Model
from streamgmm.settings.decision import DecisionSection, LabelSection
from streamgmm.training.enrolment.comparison import ModelComparison, scores_in_card
from streamgmm.training.enrolment.training_cache import TrainingCache, make_cache
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.extraction.extraction import extract_clips
from streamgmm.training.extraction.task import ExtractionTask
from streamgmm.training.selection.calibration import calibrated
from streamgmm.training.selection.validation import Validation
from streamgmm.training.trainer import decide_thresholds, fit_calibrated, make_card
from streamgmm.training.workers import ProgressTracker, untracked
from streamgmm.wording import did_you_mean

MIN_CLIPS = 3
"""Least clips of a new class: two to fit to, one to test."""

MIN_RECORDINGS_PER_PROCESS = 8
"""With fewer, starting a process takes longer than measuring them."""


class ModelChange(NamedTuple):
    """A model with one class added, extended or removed, and the effect on the other classes.

    Attributes:
        model: the new model, not saved yet.
        cache: training cache of the new model.
        label: the class that was added, extended or removed.
        comparison: held-out scores of the old model, from its card, and of the new one.
        notes: choices that the fit made.
    """

    model: Model
    cache: TrainingCache
    label: str
    comparison: ModelComparison
    notes: list[str]


def check_enrolled(text: str, model: Model) -> str:
    """Return the label for `text` if a class of this name can be added to `model`.

    Raises:
        UsageError: it is `unknown` or `silence`, which are answers and not classes.
        DataError: it is not a valid label, or differs from a label of the model only by case or Unicode form.
    """
    label = check_label(text)
    if label in (UNKNOWN, SILENCE):
        raise UsageError(f"'{label}' is an answer and not a class", hint="use `background` for sounds to be ignored")
    # Together with those of the model: `Dog` beside `dog` would become a class of its own.
    check_labels({*model.labels, label})
    return label


def new_clips(paths: Sequence[Path], label: str, cache: TrainingCache, findings: Findings) -> list[Clip]:
    """Return the clips of the recordings at `paths`, each as a source of its own.

    Args:
        paths: recordings, and folders of recordings.
        label: of all recordings.
        cache: recordings that it already contains are left out, with a warning.
        findings: collects what is left out.

    Raises:
        InputMissingError: one of the paths does not exist.
    """
    examiner = Examiner(findings, channel=cache.task.channel, use_gaps=False, is_strict=False)
    entries = (Entry(path, path.name, [Segment(label)]) for path in _recordings(paths, findings))
    known = {clip.clip.content_sha256: f"is already known as '{clip.clip.label}'" for clip in cache.clips}
    clips = []
    for clip in examiner.clips(entries, lambda n_seen: None):
        if clip.content_sha256 in known:
            findings.warn(f"{clip.path}: {known[clip.content_sha256]}, left out")
            continue
        # The new clips are added one by one, so that two copies of one recording among them count once.
        known[clip.content_sha256] = f"contains the same sound as {clip.path}"
        # By content and not by path: the cache has no paths, and the same file must get the same source each time.
        clips.append(msgspec.structs.replace(clip, source_id=clip.content_sha256))
    return clips


def _recordings(paths: Sequence[Path], findings: Findings) -> Iterator[Path]:
    for path in paths:
        kind = path_kind(path)
        if kind == "nothing":
            raise InputMissingError("no such file or folder", where=str(path))
        yield from recordings_below(path, findings) if kind == "folder" else [path]


def enrol(
    model: Model,
    cache: TrainingCache,
    label: str,
    clips: Sequence[Clip],
    findings: Findings,
    *,
    n_jobs: int = 0,
    is_cached: bool = True,
    track: ProgressTracker = untracked,
) -> ModelChange:
    """Add the class `label` to `model`, or extend the class by `clips` if the model has it.

    Args:
        model: is not modified.
        cache: training cache of `model`.
        label: see `check_enrolled`.
        clips: see `new_clips`.
        findings: collects recordings that turn out to be silent.
        n_jobs: number of processes that measure; 0 for one per core.
        is_cached: whether measured clips are kept for other trainings.
        track: shows the progress.

    Raises:
        DataError: there are fewer than `MIN_CLIPS` usable clips for a new class, or none for an existing one.
    """
    n_needed = 1 if label in model.labels else MIN_CLIPS
    _check_number(clips, n_needed, label, findings)
    task = _task_like(model, cache.task, n_jobs if len(clips) >= MIN_RECORDINGS_PER_PROCESS else 1)
    task = msgspec.structs.replace(task, training=msgspec.structs.replace(task.training, cache=is_cached))
    # Counted before measuring and after: the first check saves time, the second knows which clips are silent.
    extraction = extract_clips(clips, task, track)
    findings.skipped.extend(extraction.skipped)
    _check_number(extraction.clips, n_needed, label, findings)
    windows = Counter({label: sum(len(clip.vectors) for clip in extraction.clips)})
    return _refit(model, cache, label, [*cache.clips, *extraction.clips], windows, track)


def forget(model: Model, cache: TrainingCache, label: str, track: ProgressTracker = untracked) -> ModelChange:
    """Remove the class `label` from `model`.

    Args:
        model: is not modified.
        cache: training cache of `model`.
        label: one of its labels.
        track: shows the progress.

    Raises:
        UsageError: the model has no such class.
        DataError: too few classes would be left, or it is not a valid label.
    """
    label = check_label(label)
    check_forgotten(label, model)
    clips = [clip for clip in cache.clips if clip.clip.label != label]
    return _refit(model, cache, label, clips, Counter(), track)


def check_forgotten(label: str, model: Model) -> None:
    """Reject the removal of `label` from `model` if that is not possible.

    Raises:
        UsageError: the model has no such class.
        DataError: fewer than two classes would be left.
    """
    if label not in model.labels:
        hint = did_you_mean(label, model.labels) or f"there are {', '.join(model.labels)}"
        raise UsageError(f"the model has no class '{label}'", hint=hint)
    left = [other for other in model.labels if other != label]
    if all(other in RESERVED for other in left) or len(left) < 2:
        hint = "enrol another one first"
        raise DataError(f"without '{label}' the model would have fewer than two classes", hint=hint)


def _check_number(clips: Sequence[object], n_needed: int, label: str, findings: Findings) -> None:
    if len(clips) >= n_needed:
        return
    noticed = [*left_out_lines(findings.skipped), *findings.warnings[:MIN_CLIPS]]
    hint = "; ".join(noticed) or "add other recordings of it"
    what = f"{len(clips)} new usable clips, but needs {n_needed}"
    raise DataError(what, where=f"class '{label}'", hint=hint)


def _task_like(model: Model, task: ExtractionTask, n_jobs: int) -> ExtractionTask:
    """Return how to measure and fit clips for `model`: with cepstral frames only if it has them."""
    frames = "never" if model.classifier.cepstra is None else "always"
    training = msgspec.structs.replace(task.training, cepstra=frames, n_jobs=n_jobs)
    return msgspec.structs.replace(task, training=training)


def _refit(
    model: Model,
    cache: TrainingCache,
    label: str,
    clips: Sequence[ClipVectors],
    new_windows: Counter[str],
    track: ProgressTracker,
) -> ModelChange:
    """Fit `model` again to `clips`, with a new training cache and a comparison of held-out scores."""
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
    )
    # The fit may have dropped cepstral frames because a class has too few; the cache must agree with the model.
    kept = kept if refitted.classifier.cepstra else make_cache(kept.clips, kept.task, has_cepstra=False)
    # A class that was extended is left out: its new clips may be harder, without the model being worse.
    staying = [name for name in labels if name in model.labels and name != label]
    notes = [*fit.notes, *validation.notes, *_decision_notes(model)]
    comparison = ModelComparison(scores_in_card(model.card), scores_in_card(refitted.card), staying)
    return ModelChange(refitted, kept, label, comparison, notes)


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


def _decision_notes(model: Model) -> Iterator[str]:
    if "tuning" in model.card:
        yield "thresholds are those that `tune` set for the old model: run `tune` again to control the false alarms"


def _whole_numbers(value: Any) -> dict[str, int]:
    try:
        return msgspec.convert(value, dict[str, int])
    # Cards are free-form: another program may use this key for something else.
    except msgspec.ValidationError:
        return {}
