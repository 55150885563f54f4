"""Add, extend or remove a class of a model without the recordings of the other classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from streamgmm.dataset.checks import check_rivals
from streamgmm.dataset.clips import Clip, Examiner
from streamgmm.dataset.listing import Entry, Findings, Segment
from streamgmm.dataset.reasons import left_out_lines
from streamgmm.dataset.scan import recordings_below
from streamgmm.errors import DataError, InputMissingError, UsageError
from streamgmm.files import path_kind
from streamgmm.labels import RESERVED, SILENCE, UNKNOWN, check_label, check_labels
from streamgmm.model.model import Model
from streamgmm.training.enrolment.refitting import ModelChange, measure_like, refit
from streamgmm.training.enrolment.training_cache import TrainingCache
from streamgmm.training.workers import ProgressTracker, untracked
from streamgmm.wording import did_you_mean

MIN_CLIPS = 3
"""Least clips of a new class: two to fit to, one to test."""


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
    entries = (Entry(path, path.name, [Segment(label)]) for path in _recordings(paths, findings))
    known = {clip.clip.content_sha256: f"is already known as '{clip.clip.label}'" for clip in cache.clips}
    clips = []
    for clip in examined(entries, cache, findings):
        if clip.content_sha256 in known:
            findings.warn(f"{clip.path}: {known[clip.content_sha256]}, left out")
            continue
        # The new clips are added one by one, so that two copies of one recording among them count once.
        known[clip.content_sha256] = f"contains the same sound as {clip.path}"
        clips.append(clip)
    return clips


def examined(entries: Iterable[Entry], cache: TrainingCache, findings: Findings) -> Iterator[Clip]:
    """Yield the clips of recordings, each as a source of its own, read like those of the training of `cache`."""
    examiner = Examiner(findings, channel=cache.task.channel, use_gaps=False, is_strict=False)
    for clip in examiner.clips(entries, lambda n_seen: None):
        # By content and not by path: the cache has no paths, and the same file must get the same source each time.
        yield msgspec.structs.replace(clip, source_id=clip.content_sha256)


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
    # Counted before measuring and after: the first check saves time, the second knows which clips are silent.
    measured = measure_like(model, cache, clips, findings, n_jobs=n_jobs, is_cached=is_cached, track=track)
    _check_number(measured, n_needed, label, findings)
    return refit(model, cache, [*cache.clips, *measured], track)


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
    return refit(model, cache, clips, track)


def check_forgotten(label: str, model: Model) -> None:
    """Reject the removal of `label` from `model` if that is not possible.

    Raises:
        UsageError: the model has no such class.
        DataError: too few classes would be left.
    """
    if label not in model.labels:
        hint = did_you_mean(label, model.labels) or f"there are {', '.join(model.labels)}"
        raise UsageError(f"the model has no class '{label}'", hint=hint)
    left = [other for other in model.labels if other != label]
    if all(other in RESERVED for other in left):
        raise DataError(f"without '{label}' the model would have no class", hint="enrol another one first")
    # A background that competes is that of the world: a single class is told from it.
    check_rivals(left, has_world=model.classifier.background_prior > 0.0)


def _check_number(clips: Sequence[object], n_needed: int, label: str, findings: Findings) -> None:
    if len(clips) >= n_needed:
        return
    noticed = [*left_out_lines(findings.skipped), *findings.warnings[:MIN_CLIPS]]
    hint = "; ".join(noticed) or "add other recordings of it"
    what = f"{len(clips)} new usable clips, but needs {n_needed}"
    raise DataError(what, where=f"class '{label}'", hint=hint)
