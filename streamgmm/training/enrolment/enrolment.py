"""A class added to a model, extended or taken out, without the recordings of the others.

The model is fitted anew on what its memory keeps and on the new clips: projection, mixtures and calibration see all
classes, as in a training. Nothing is patched into the old model, so nothing wears out however often this is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streamgmm.dataset.clips import Clip, Examiner
from streamgmm.dataset.listing import Entry, Findings, Stretch
from streamgmm.dataset.reasons import left_out_lines
from streamgmm.dataset.scan import recordings_below
from streamgmm.errors import DataError, InputMissingError, UsageError
from streamgmm.files import kind_of
from streamgmm.labels import RESERVED, SILENCE, UNKNOWN, check_label, check_labels
from streamgmm.model.model import Model
from streamgmm.training.enrolment.comparison import Comparison, scores_of
from streamgmm.training.enrolment.training_cache import Memory, remember
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.extraction.extraction import ExtractionTask, extract_clips
from streamgmm.training.selection.calibration import calibrated
from streamgmm.training.selection.validation import Validation
from streamgmm.training.trainer import fit_calibrated, make_card
from streamgmm.training.workers import Track, untracked
from streamgmm.wording import did_you_mean

MIN_CLIPS = 3
"""Fewer clips make no class: two teach, one tests."""

MIN_RECORDINGS_PER_PROCESS = 8
"""For fewer, a process takes longer to begin than to measure them."""


class Change(NamedTuple):
    """A model that knows another class, or one less, and what that does to the others.

    Attributes:
        model: the new one, not saved yet.
        memory: that fits it.
        label: the class that was added, extended or taken out.
        comparison: what held-out clips say of the old model, by its card, and of the new one.
        notes: what was decided by itself.
    """

    model: Model
    memory: Memory
    label: str
    comparison: Comparison
    notes: list[str]


def check_enrolled(text: str, model: Model) -> str:
    """The label that `text` stands for, if `model` may learn it.

    Raises:
        UsageError: it is `unknown` or `silence`, which are answers and no classes.
        DataError: it is no label, or differs from one of the model by case or Unicode form alone.
    """
    label = check_label(text)
    if label in (UNKNOWN, SILENCE):
        raise UsageError(f"'{label}' is an answer and no class", hint="what is to be ignored is `background`")
    check_labels({*model.labels, label})
    return label


def new_clips(paths: Sequence[Path], label: str, memory: Memory, findings: Findings) -> list[Clip]:
    """The clips of the recordings that `paths` name, each a source of its own.

    Args:
        paths: recordings, and folders of them.
        label: of all of them.
        memory: recordings that it already knows are left out, and warned of.
        findings: is told of what is left out.

    Raises:
        InputMissingError: there is nothing at one of the paths.
    """
    examiner = Examiner(findings, channel=memory.task.channel, use_gaps=False, is_strict=False)
    entries = (Entry(path, path.name, [Stretch(label)]) for path in _recordings(paths, findings))
    known = {clip.clip.content_sha256: f"is known as '{clip.clip.label}' already" for clip in memory.clips}
    clips = []
    for clip in examiner.clips(entries, lambda n_seen: None):
        if clip.content_sha256 in known:
            findings.warn(f"{clip.path}: {known[clip.content_sha256]}, left out")
            continue
        known[clip.content_sha256] = f"holds the same sound as {clip.path}"
        clips.append(msgspec.structs.replace(clip, source_id=clip.content_sha256))
    return clips


def _recordings(paths: Sequence[Path], findings: Findings) -> Iterator[Path]:
    for path in paths:
        kind = kind_of(path)
        if kind == "nothing":
            raise InputMissingError("no such file or folder", where=str(path))
        yield from recordings_below(path, findings) if kind == "folder" else [path]


def enrol(
    model: Model,
    memory: Memory,
    label: str,
    clips: Sequence[Clip],
    findings: Findings,
    *,
    n_jobs: int = 0,
    track: Track = untracked,
) -> Change:
    """Add the class `label` to `model`, or `clips` to it if there is one.

    Args:
        model: stays as it is.
        memory: of `model`.
        label: see `check_enrolled`.
        clips: see `new_clips`.
        findings: is told of recordings that turn out to be silent.
        n_jobs: processes that measure; 0 for one per core.
        track: shows how far the work is.

    Raises:
        DataError: there are fewer than `MIN_CLIPS` usable clips for a new class, or none for one that is there.
    """
    n_needed = 1 if label in model.labels else MIN_CLIPS
    _check_number(clips, n_needed, label, findings)
    task = _task_like(model, memory.task, n_jobs if len(clips) >= MIN_RECORDINGS_PER_PROCESS else 1)
    extraction = extract_clips(clips, task, track)
    findings.skipped.extend(extraction.skipped)
    _check_number(extraction.clips, n_needed, label, findings)
    windows = Counter({label: sum(len(clip.vectors) for clip in extraction.clips)})
    return _refitted(model, memory, label, [*memory.clips, *extraction.clips], windows, track)


def forget(model: Model, memory: Memory, label: str, track: Track = untracked) -> Change:
    """Take the class `label` out of `model`.

    Args:
        model: stays as it is.
        memory: of `model`.
        label: one of its labels.
        track: shows how far the work is.

    Raises:
        UsageError: the model has no such class.
        DataError: too few classes would be left, or it is no label.
    """
    label = check_label(label)
    check_forgotten(label, model)
    clips = [clip for clip in memory.clips if clip.clip.label != label]
    return _refitted(model, memory, label, clips, Counter(), track)


def check_forgotten(label: str, model: Model) -> None:
    """Refuse to take `label` out of `model` if that makes no sense.

    Raises:
        UsageError: the model has no such class.
        DataError: nothing would be left to tell apart.
    """
    if label not in model.labels:
        hint = did_you_mean(label, model.labels) or f"there are {', '.join(model.labels)}"
        raise UsageError(f"the model has no class '{label}'", hint=hint)
    left = [other for other in model.labels if other != label]
    if all(other in RESERVED for other in left) or len(left) < 2:
        hint = "enrol another one first"
        raise DataError(f"without '{label}' the model would have no two classes to tell apart", hint=hint)


def _check_number(clips: Sequence[object], n_needed: int, label: str, findings: Findings) -> None:
    if len(clips) >= n_needed:
        return
    noticed = [*left_out_lines(findings.skipped), *findings.warnings[:MIN_CLIPS]]
    hint = "; ".join(noticed) or "give other recordings of it"
    what = f"{len(clips)} usable clips that are new, but needs {n_needed}"
    raise DataError(what, where=f"class '{label}'", hint=hint)


def _task_like(model: Model, task: ExtractionTask, n_jobs: int) -> ExtractionTask:
    """How the clips of `model` were measured; whether frames take part is decided already."""
    frames = "never" if model.classifier.cepstra is None else "always"
    training = msgspec.structs.replace(task.training, cepstra=frames, n_jobs=n_jobs)
    return msgspec.structs.replace(task, training=training)


def _refitted(
    model: Model, memory: Memory, label: str, clips: Sequence[ClipVectors], new_windows: Counter[str], track: Track
) -> Change:
    """`model` fitted to `clips`, what is kept of them, and how both compare."""
    kept = remember(clips, memory.task, has_cepstra=memory.has_cepstra)
    labels = kept.labels
    task = _task_like(model, memory.task, memory.task.training.n_jobs)
    fit, validation = fit_calibrated(kept.clips, labels, task, track)
    classifier = calibrated(fit, validation.calibration)
    priors = dict(zip(model.labels, model.classifier.priors.tolist(), strict=True))
    refitted = Model(
        name=model.name,
        spec=model.spec,
        classifier=classifier.with_priors({name: priors[name] for name in labels if name in priors}),
        decision={name: section for name, section in model.decision.items() if name in labels},
        card=_card(model, kept, validation, new_windows),
    )
    # Fitted without frames after all, if a class has too few of them.
    kept = kept if refitted.classifier.cepstra else remember(kept.clips, kept.task, has_cepstra=False)
    staying = [name for name in labels if name in model.labels and name != label]
    notes = [*fit.notes, *validation.notes, *_decision_notes(model)]
    comparison = Comparison(scores_of(model.card), scores_of(refitted.card), staying)
    return Change(refitted, kept, label, comparison, notes)


def _card(model: Model, kept: Memory, validation: Validation, new_windows: Counter[str]) -> dict[str, Any]:
    """The card of a training on all clips; windows are counted that were measured, not only those that are kept."""
    card = make_card(kept.labels, kept.task, kept.clips, validation)
    n_kept = card["n_windows"]
    before = _whole_numbers(model.card.get("n_windows"))
    card["n_windows"] = {
        label: before.get(label, 0 if label in new_windows else n_kept[label]) + new_windows[label] for label in n_kept
    }
    card["n_windows_kept"] = n_kept
    if isinstance(model.card.get("tuning"), Mapping):
        card["tuning"] = {**model.card["tuning"], "is_of_an_earlier_model": True}
    return card


def _decision_notes(model: Model) -> Iterator[str]:
    if "tuning" in model.card:
        yield "thresholds were kept that `tune` set for the model as it was: tune again to know the false alarms"


def _whole_numbers(value: Any) -> dict[str, int]:
    try:
        return msgspec.convert(value, dict[str, int])
    except msgspec.ValidationError:
        return {}
