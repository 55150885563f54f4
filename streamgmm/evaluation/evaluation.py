"""How good a model, or a way of training one, is on recordings that it has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec

from streamgmm.config import Config
from streamgmm.dataset.clips import Clip
from streamgmm.dataset.dataset import Dataset, at_rate
from streamgmm.dataset.folds import NEVER_HELD_OUT, grouped_stratified_folds
from streamgmm.errors import DataError
from streamgmm.evaluation.ablation import Part, ablate
from streamgmm.evaluation.answering import Answer, answer_clips, answer_with_each
from streamgmm.evaluation.conditions import UNCHANGED, Conditions, check_noise
from streamgmm.evaluation.recordings import check_labels_known
from streamgmm.evaluation.trial import FoldAnswers, LeftOut, Trial
from streamgmm.labels import BACKGROUND, is_reserved
from streamgmm.model.model import Model
from streamgmm.training.calibration import calibrated
from streamgmm.training.clip_vectors import ClipVectors
from streamgmm.training.extraction import ExtractionTask, with_backgrounds
from streamgmm.training.trainer import fit_calibrated, make_task
from streamgmm.training.window_length import Chosen, WindowLengths
from streamgmm.training.workers import Track, prefixed, untracked

Division = Literal["fold", "source", "auto"]

N_FOLDS = 5

NO_FOLD = ""
"""Fold of clips that are never held out; no fold of a manifest is called so."""


def cross_validate(
    dataset: Dataset,
    config: Config,
    *,
    division: Division = "auto",
    n_seeds: int = 1,
    conditions: Conditions = UNCHANGED,
    is_open_set: bool = False,
    is_ablated: bool = False,
    track: Track = untracked,
) -> Trial:
    """Train on all folds but one, and answer the clips of that one as the stream would; each fold in turn.

    Nothing of the held-out fold takes part in training: not in the projection, the calibration, the
    floors or the augmentation.

    Args:
        dataset: the clips.
        config: features, training, source and decision sections are used; the first seed is that of training.
        division: `fold` follows the data set's folds, `source` deals sources out into five folds, `auto`
            takes the data set's folds if it has them.
        n_seeds: repetitions, each with the next seed.
        conditions: what is done to the clips that are answered; training is as ever.
        is_open_set: whether each fold is also answered without having learnt each class in turn.
        is_ablated: whether clips are also held out without each part of the trainer in turn, with the first seed.
        track: shows how far the work is.

    Raises:
        DataError: the data set cannot be divided so, a class has too few clips, or the noise is unusable.
    """
    dataset = at_rate(dataset, make_task(dataset, config).spec.sample_rate_hz)
    # What cannot be tried need not be measured first.
    folds = divide(dataset.clips, division, config.training.seed)
    check_noise(conditions.noise, [c for c, fold in zip(dataset.clips, folds, strict=True) if fold != NO_FOLD])
    classes = _classes_to_leave_out(dataset) if is_open_set else []
    tried: list[FoldAnswers] = []
    left_out: list[LeftOut] = []
    ablation: list[Part] = []
    usable = dataset
    for seed in range(config.training.seed, config.training.seed + n_seeds):
        seeded = msgspec.structs.replace(config, training=msgspec.structs.replace(config.training, seed=seed))
        seed_track = prefixed(track, f"seed {seed}: " if n_seeds > 1 else "")
        # Copies are heard over a background that no fold is tested on, or over none.
        folds = divide(dataset.clips, division, seed)
        taught = [clip for clip, fold in zip(dataset.clips, folds, strict=True) if fold == NO_FOLD]
        task = with_backgrounds(make_task(dataset, seeded), taught)
        lengths = WindowLengths(dataset.clips, task, seed_track)
        extraction = lengths.measured()
        usable = extraction.usable(dataset, config.training.min_clips)
        folds = divide(usable.clips, division, seed)
        if is_ablated and not ablation:
            ablation = ablate(extraction.clips, usable.labels, task, track=track)
        steps = [(fold, label) for fold in sorted(set(folds) - {NO_FOLD}) for label in (None, *classes)]
        models: list[Model] = []
        for fold, label in seed_track(steps, "folds", len(steps)):
            split = _split(fold, folds, extraction.clips, dataset)
            if label is None:
                models = [_fit(lengths.choose([clip.clip for clip in split.rest], _labels_of(split.rest)))]
            else:
                models.append(_fit(_without(label, split, task)))
            if len(models) == 1 + len(classes):
                answers, *strangers = zip(*answer_with_each(split.held_out, models, seeded, conditions), strict=True)
                tried.append(FoldAnswers(fold, seed, list(answers)))
                left_out += [_leave_out(label, seed, own) for label, own in zip(classes, strangers, strict=True)]
    return Trial(
        dataset=usable,
        spec=make_task(dataset, config).spec,
        conditions=conditions,
        folds=tried,
        left_out=left_out,
        ablation=ablation,
        n_clips=len(usable.clips),
        n_seeds=n_seeds,
        division="fold" if _follows_folds(dataset.clips, division) else "source",
    )


def score_model(
    dataset: Dataset,
    model: Model,
    config: Config,
    *,
    conditions: Conditions = UNCHANGED,
    track: Track = untracked,
) -> Trial:
    """Answer all clips of `dataset` with an existing model.

    Raises:
        DataError: the data set has a label that the model does not know, or the noise is unusable.
    """
    check_labels_known(dataset.labels, model, where=dataset.path)
    check_noise(conditions.noise, dataset.clips)
    answers = list(track(answer_clips(dataset.clips, model, config, conditions), "testing", len(dataset.clips)))
    return Trial(
        dataset=dataset,
        spec=model.spec,
        conditions=conditions,
        folds=[FoldAnswers("all", config.training.seed, answers)],
        left_out=[],
        ablation=[],
        n_clips=len(answers),
        n_seeds=1,
        division="none",
    )


def divide(clips: Sequence[Clip], division: Division, seed: int) -> list[str]:
    """Fold of each clip; `NO_FOLD` for one that is never held out.

    Raises:
        DataError: folds are asked for and a clip has none, or a label has a single source.
    """
    if _follows_folds(clips, division):
        folds = [clip.fold or NO_FOLD for clip in clips]
        if len(set(folds) - {NO_FOLD}) < 2:
            raise DataError("all recordings are in one fold", hint="use --by source")
        return folds
    labels, sources = [clip.label for clip in clips], [clip.source_id for clip in clips]
    numbers = grouped_stratified_folds(labels, sources, N_FOLDS, seed)
    return [NO_FOLD if number == NEVER_HELD_OUT else str(number) for number in numbers]


def _follows_folds(clips: Sequence[Clip], division: Division) -> bool:
    """Whether the folds of the data set are to be followed.

    Raises:
        DataError: they are asked for and are not there.
    """
    # A background without a fold is trained on and never held out.
    folds = {clip.fold for clip in clips if clip.label != BACKGROUND or clip.fold is not None}
    has_folds = bool(folds) and None not in folds
    if division == "fold" and not has_folds:
        raise DataError(
            "not every recording has a fold", hint="add a column `fold` to the manifest, or use --by source"
        )
    return has_folds and division != "source"


class _Split(NamedTuple):
    """What a fold is trained on, and its own clips."""

    rest: list[ClipVectors]
    held_out: list[Clip]


def _split(fold: str, folds: Sequence[str], clips: Sequence[ClipVectors], dataset: Dataset) -> _Split:
    rest = [clip for clip, own in zip(clips, folds, strict=True) if own != fold]
    missing = set(dataset.labels) - {clip.clip.label for clip in rest}
    if missing:
        what = f"class '{min(missing)}' is in fold '{fold}' only, so nothing is left to train it on"
        raise DataError(what, where=str(dataset.path), hint="spread it over the folds, or use --by source")
    return _Split(rest, [clip.clip for clip, own in zip(clips, folds, strict=True) if own == fold])


def _fit(taught: Chosen) -> Model:
    fit, validation = fit_calibrated(taught.clips, _labels_of(taught.clips), taught.task)
    return Model(name="held out", spec=taught.task.spec, classifier=calibrated(fit, validation.calibration))


def _labels_of(clips: Iterable[ClipVectors]) -> list[str]:
    return sorted({clip.clip.label for clip in clips})


def _classes_to_leave_out(dataset: Dataset) -> list[str]:
    """All classes but the reserved ones: a background is what is always there."""
    classes = [label for label in dataset.labels if not is_reserved(label)]
    if len(dataset.labels) < 3:
        raise DataError("has too few classes to leave one out", where=str(dataset.path), hint="three are needed")
    return classes


def _without(label: str, split: _Split, task: ExtractionTask) -> Chosen:
    """What a model learns that is never taught one of the classes."""
    # Searching again and again for settings would take most of the time and say little of strangers.
    quick = msgspec.structs.replace(task, training=msgspec.structs.replace(task.training, search=False))
    return Chosen(quick, [clip for clip in split.rest if clip.clip.label != label])


def _leave_out(label: str, seed: int, answers: Sequence[Answer]) -> LeftOut:
    """The answers of that model to the clips of the fold."""
    known = [one for one in answers if one.clip.label != label and not is_reserved(one.clip.label)]
    return LeftOut(label, seed, known, [one for one in answers if one.clip.label == label])
