"""Evaluation of a model, or of its training, on recordings that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec

from streamgmm.dataset.clips import Clip
from streamgmm.dataset.dataset import Dataset, warn_of_narrow_band
from streamgmm.dataset.folds import NEVER_HELD_OUT, grouped_stratified_folds
from streamgmm.errors import DataError
from streamgmm.evaluation.ablation import Ablation, ablate
from streamgmm.evaluation.answering import ClipAnswer, answer_clips, answer_with_each
from streamgmm.evaluation.conditions import UNCHANGED, Conditions, check_noise
from streamgmm.evaluation.recordings import check_labels_known
from streamgmm.evaluation.trial import FoldAnswers, LeftOut, Trial
from streamgmm.labels import BACKGROUND, is_reserved
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.extraction.extraction import with_backgrounds
from streamgmm.training.extraction.task import ExtractionTask
from streamgmm.training.selection.calibration import calibrated
from streamgmm.training.selection.window_length import Chosen, WindowLengths
from streamgmm.training.trainer import fit_calibrated, make_task
from streamgmm.training.workers import ProgressTracker, prefixed, untracked

Division = Literal["fold", "source", "auto"]

N_TEST_FOLDS = 5

NO_FOLD = ""
"""Fold of clips that are never held out; no fold of a manifest has this name."""


def cross_validate(
    dataset: Dataset,
    config: Config,
    *,
    division: Division = "auto",
    n_seeds: int = 1,
    conditions: Conditions = UNCHANGED,
    is_open_set: bool = False,
    is_ablated: bool = False,
    track: ProgressTracker = untracked,
) -> Trial:
    """Train on all folds but one, and answer the clips of that one as a stream would; each fold in turn.

    The held-out fold takes no part in training: neither in the projection, nor in the calibration, the floors or
    the augmentation.

    Args:
        dataset: the clips.
        config: features, training, source and decision sections are used; the first seed is that of training.
        division: `fold` uses the folds of the data set, `source` distributes sources over five folds, `auto`
            uses the folds of the data set if it has any.
        n_seeds: repetitions, each with the next seed.
        conditions: changes to the clips that are answered; training is unchanged.
        is_open_set: whether each fold is also answered by models that were not trained on one of the classes.
        is_ablated: whether clips are also held out without each part of the trainer in turn, with the first seed.
        track: shows the progress.

    Raises:
        DataError: the data set cannot be divided in this way, a class has too few clips, or the noise is unusable.
    """
    dataset = warn_of_narrow_band(dataset, make_task(dataset, config).spec.sample_rate_hz)
    # Before anything is measured, so that an impossible division fails at once.
    folds = divide(dataset.clips, division, config.training.seed)
    check_noise(conditions.noise, [c for c, fold in zip(dataset.clips, folds, strict=True) if fold != NO_FOLD])
    classes = _classes_to_leave_out(dataset) if is_open_set else []
    tried: list[FoldAnswers] = []
    left_out: list[LeftOut] = []
    ablation: list[Ablation] = []
    usable = dataset
    for seed in range(config.training.seed, config.training.seed + n_seeds):
        seeded = msgspec.structs.replace(config, training=msgspec.structs.replace(config.training, seed=seed))
        seed_track = prefixed(track, f"seed {seed}: " if n_seeds > 1 else "")
        # Altered copies are mixed with a background that no fold is tested on, or with none.
        folds = divide(dataset.clips, division, seed)
        always_trained = [clip for clip, fold in zip(dataset.clips, folds, strict=True) if fold == NO_FOLD]
        task = with_backgrounds(make_task(dataset, seeded), always_trained)
        lengths = WindowLengths(dataset.clips, task, seed_track)
        extraction = lengths.measured()
        usable = extraction.usable(dataset, config.training.min_clips)
        # Divided again, as clips without any sound are missing now; folds belong to clips by their position.
        folds = divide(usable.clips, division, seed)
        # A reserved label of which too little is left is dropped from the data set, and so its clips are from these.
        kept = set(usable.clips)
        measured = [clip for clip in extraction.clips if clip.clip in kept]
        if is_ablated and not ablation:
            ablation = ablate(measured, usable.labels, task, track=track)
        # For each fold first the model of all classes (None), then one without each class.
        steps = [(fold, label) for fold in sorted(set(folds) - {NO_FOLD}) for label in (None, *classes)]
        models: list[Model] = []
        for fold, label in seed_track(steps, "folds", len(steps)):
            split = _split_fold(fold, folds, measured, usable)
            if label is None:
                models = [_fit_fold(lengths.choose([clip.clip for clip in split.rest], _labels_of(split.rest)))]
            else:
                models.append(_fit_fold(_without(label, split, task)))
            # All models of the fold are there, and answer together: they share the measurements of its clips.
            if len(models) == 1 + len(classes):
                answers, *others = zip(*answer_with_each(split.held_out, models, seeded, conditions), strict=True)
                tried.append(FoldAnswers(fold, seed, list(answers)))
                left_out += [_leave_out(label, seed, own) for label, own in zip(classes, others, strict=True)]
    return Trial(
        dataset=usable,
        # As configured: the folds may have chosen different window lengths.
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
    track: ProgressTracker = untracked,
) -> Trial:
    """Answer all clips of `dataset` with an existing model.

    Raises:
        DataError: the data set has a label that the model does not have, or the noise is unusable.
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
    """Return the fold of each clip; `NO_FOLD` for one that is never held out.

    Raises:
        DataError: folds are requested and a clip has none, or a label has a single source.
    """
    if _follows_folds(clips, division):
        folds = [clip.fold or NO_FOLD for clip in clips]
        if len(set(folds) - {NO_FOLD}) < 2:
            raise DataError("all recordings are in one fold", hint="use --by source")
        return folds
    labels, sources = [clip.label for clip in clips], [clip.source_id for clip in clips]
    numbers = grouped_stratified_folds(labels, sources, N_TEST_FOLDS, seed)
    return [NO_FOLD if number == NEVER_HELD_OUT else str(number) for number in numbers]


def _follows_folds(clips: Sequence[Clip], division: Division) -> bool:
    """Return whether the folds of the data set are used.

    Raises:
        DataError: they are requested and a clip has none.
    """
    # A background without a fold is used for training and never held out.
    folds = {clip.fold for clip in clips if clip.label != BACKGROUND or clip.fold is not None}
    has_folds = bool(folds) and None not in folds
    if division == "fold" and not has_folds:
        raise DataError(
            "not every recording has a fold", hint="add a column `fold` to the manifest, or use --by source"
        )
    return has_folds and division != "source"


class _Split(NamedTuple):
    """Clips to train on, and the held-out clips of a fold."""

    rest: list[ClipVectors]
    held_out: list[Clip]


def _split_fold(fold: str, folds: Sequence[str], clips: Sequence[ClipVectors], dataset: Dataset) -> _Split:
    rest = [clip for clip, own in zip(clips, folds, strict=True) if own != fold]
    missing = set(dataset.labels) - {clip.clip.label for clip in rest}
    if missing:
        what = f"class '{min(missing)}' is in fold '{fold}' only, so nothing is left to train it on"
        raise DataError(what, where=str(dataset.path), hint="spread it over the folds, or use --by source")
    return _Split(rest, [clip.clip for clip, own in zip(clips, folds, strict=True) if own == fold])


def _fit_fold(chosen: Chosen) -> Model:
    fit, validation = fit_calibrated(chosen.clips, _labels_of(chosen.clips), chosen.task)
    return Model(name="held out", spec=chosen.task.spec, classifier=calibrated(fit, validation.calibration))


def _labels_of(clips: Iterable[ClipVectors]) -> list[str]:
    return sorted({clip.clip.label for clip in clips})


def _classes_to_leave_out(dataset: Dataset) -> list[str]:
    """Return all classes but the reserved ones: the background is always present."""
    classes = [label for label in dataset.labels if not is_reserved(label)]
    # Two labels have to remain: a model of one has nothing to distinguish.
    if len(dataset.labels) < 3:
        raise DataError("has too few classes to leave one out", where=str(dataset.path), hint="three are needed")
    return classes


def _without(label: str, split: _Split, task: ExtractionTask) -> Chosen:
    """Return the clips and settings of a model that is not trained on one of the classes."""
    # A search for settings in each model would take most of the time and change little for unknown classes.
    quick = msgspec.structs.replace(task, training=msgspec.structs.replace(task.training, search=False))
    return Chosen(quick, [clip for clip in split.rest if clip.clip.label != label])


def _leave_out(label: str, seed: int, answers: Sequence[ClipAnswer]) -> LeftOut:
    """Return the answers of that model to clips of other classes and to clips of `label`."""
    known = [one for one in answers if one.clip.label != label and not is_reserved(one.clip.label)]
    return LeftOut(label, seed, known, [one for one in answers if one.clip.label == label])
