"""How good a model, or a way of training one, is on recordings that it has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from streamgmm.config import Config
from streamgmm.errors import DataError
from streamgmm.labels import SILENCE, UNKNOWN
from streamgmm.model.model import Model
from streamgmm.training.answering import Answer, answer_clips
from streamgmm.training.calibration import calibrated
from streamgmm.training.clips import Clip
from streamgmm.training.dataset import Dataset
from streamgmm.training.extraction import ClipVectors, extract_clips
from streamgmm.training.folds import NEVER_HELD_OUT, grouped_stratified_folds
from streamgmm.training.report import count_skipped
from streamgmm.training.trainer import fit_calibrated, make_task
from streamgmm.training.workers import Item, Track, untracked

Division = Literal["fold", "source", "auto"]

N_FOLDS = 5

NO_FOLD = ""
"""Fold of clips that are never held out; no fold of a manifest is called so."""


class FoldResult(msgspec.Struct, frozen=True, kw_only=True):
    """One fold of one seed: its name, share of clips recognised, and number of clips."""

    fold: str
    seed: int
    accuracy: float
    n_clips: int


class LabelResult(msgspec.Struct, frozen=True, kw_only=True):
    """One label over all folds and seeds: what was found of it, and how much of what was called so was it."""

    recall: float
    precision: float
    f1: float
    n_clips: int


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an evaluation; its fields are the keys of the JSON report.

    Attributes:
        accuracy: share of clips recognised, mean over folds and seeds.
        accuracy_sd: standard deviation of the accuracy over folds, of the mean over seeds (n - 1).
        balanced_accuracy: mean recall over labels.
        folds: each fold of each seed.
        per_class: by label.
        confusion: rows are true labels, columns answers; clips of all seeds together.
        labels: of the rows.
        answers: of the columns: the labels, and `silence` and `unknown` if they were answered.
        n_clips: clips in the data set that could be used.
        n_seeds: repetitions with other seeds.
        division: what no two folds share: `fold` of the data set, `source`, or nothing for a given model.
        skipped: recordings left out, by reason.
    """

    accuracy: float
    accuracy_sd: float
    balanced_accuracy: float
    folds: list[FoldResult]
    per_class: dict[str, LabelResult]
    confusion: list[list[int]]
    labels: list[str]
    answers: list[str]
    n_clips: int
    n_seeds: int
    division: str
    skipped: dict[str, int]


def cross_validate(
    dataset: Dataset, config: Config, *, division: Division = "auto", n_seeds: int = 1, track: Track = untracked
) -> Evaluation:
    """Train on all folds but one, and answer the clips of that one as the stream would; each fold in turn.

    Nothing of the held-out fold takes part in training: not in the projection, the calibration, the
    floors or the augmentation.

    Args:
        dataset: the clips.
        config: features, training and source sections are used; the first seed is that of training.
        division: `fold` follows the data set's folds, `source` deals sources out into five folds, `auto`
            takes the data set's folds if it has them.
        n_seeds: repetitions, each with the next seed.
        track: shows how far the work is.

    Raises:
        DataError: the data set cannot be divided so, or a class has too few clips.
    """
    divide(dataset.clips, division, config.training.seed)  # what cannot be divided need not be measured first
    results: list[FoldResult] = []
    answers: list[Answer] = []
    usable = dataset
    for seed in range(config.training.seed, config.training.seed + n_seeds):
        seeded = msgspec.structs.replace(config, training=msgspec.structs.replace(config.training, seed=seed))
        prefix = f"seed {seed}: " if n_seeds > 1 else ""
        extraction = extract_clips(dataset.clips, make_task(dataset, seeded), _prefixed(track, prefix))
        usable = extraction.usable(dataset, config.training.min_clips)
        folds = divide(usable.clips, division, seed)
        names = sorted(set(folds) - {NO_FOLD})
        for fold in track(names, f"{prefix}folds", len(names)):
            found = _test_fold(fold, folds, extraction.clips, dataset, seeded)
            results.append(_fold_result(fold, seed, found))
            answers += found
    return _summarise(
        answers,
        results,
        usable,
        n_clips=len(usable.clips),
        n_seeds=n_seeds,
        division="fold" if _follows_folds(dataset.clips, division) else "source",
    )


def _prefixed(track: Track, prefix: str) -> Track:
    """`track` with a word before its descriptions."""

    def prefixed(items: Iterable[Item], description: str, total: int) -> Iterable[Item]:
        return track(items, prefix + description, total)

    return prefixed


def score_model(dataset: Dataset, model: Model, config: Config, *, track: Track = untracked) -> Evaluation:
    """Answer all clips of `dataset` with an existing model.

    Raises:
        DataError: the data set has a label that the model does not know.
    """
    missing = sorted(set(dataset.labels) - set(model.labels) - {UNKNOWN, SILENCE})
    if missing:
        names = ", ".join(f"'{label}'" for label in missing)
        raise DataError(f"has labels that the model does not know: {names}", where=str(dataset.path))
    answers = list(track(answer_clips(dataset.clips, model, config), "testing", len(dataset.clips)))
    result = _fold_result("all", config.training.seed, answers)
    return _summarise(answers, [result], dataset, n_clips=len(answers), n_seeds=1, division="none")


def divide(clips: Sequence[Clip], division: Division, seed: int) -> list[str]:
    """Fold of each clip; `NO_FOLD` for one that is never held out.

    Raises:
        DataError: folds are asked for and a clip has none, or a label has a single source.
    """
    if _follows_folds(clips, division):
        folds = [clip.fold or NO_FOLD for clip in clips]
        if len(set(folds)) < 2:
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
    has_folds = all(clip.fold is not None for clip in clips)
    if division == "fold" and not has_folds:
        raise DataError(
            "not every recording has a fold", hint="add a column `fold` to the manifest, or use --by source"
        )
    return has_folds and division != "source"


def _test_fold(
    fold: str, folds: Sequence[str], clips: Sequence[ClipVectors], dataset: Dataset, config: Config
) -> list[Answer]:
    """Train on the clips of all other folds, and answer those of this one."""
    rest = [clip for clip, own in zip(clips, folds, strict=True) if own != fold]
    missing = set(dataset.labels) - {clip.clip.label for clip in rest}
    if missing:
        what = f"class '{min(missing)}' is in fold '{fold}' only, so nothing is left to train it on"
        raise DataError(what, where=str(dataset.path), hint="spread it over the folds, or use --by source")
    task = make_task(dataset, config)
    fit, validation = fit_calibrated(rest, dataset.labels, task)
    model = Model(name="held out", spec=task.spec, classifier=calibrated(fit, validation))
    held_out = [clip.clip for clip, own in zip(clips, folds, strict=True) if own == fold]
    return list(answer_clips(held_out, model, config))


def _fold_result(fold: str, seed: int, answers: Sequence[Answer]) -> FoldResult:
    n_right = sum(answer.decision.label == answer.clip.label for answer in answers)
    return FoldResult(fold=fold, seed=seed, accuracy=n_right / max(1, len(answers)), n_clips=len(answers))


def _summarise(
    answers: Sequence[Answer],
    folds: list[FoldResult],
    dataset: Dataset,
    *,
    n_clips: int,
    n_seeds: int,
    division: str,
) -> Evaluation:
    labels = dataset.labels
    given = {answer.decision.label for answer in answers}
    columns = [*labels, *sorted(given - set(labels))]
    confusion = np.zeros((len(labels), len(columns)), dtype=int)
    for answer in answers:
        confusion[labels.index(answer.clip.label), columns.index(answer.decision.label)] += 1
    per_class = {label: _label_result(confusion, i) for i, label in enumerate(labels)}
    by_fold = [np.mean([r.accuracy for r in folds if r.fold == name]) for name in sorted({r.fold for r in folds})]
    return Evaluation(
        accuracy=float(np.mean(by_fold)),
        accuracy_sd=float(np.std(by_fold, ddof=1)) if len(by_fold) > 1 else 0.0,
        balanced_accuracy=float(np.mean([result.recall for result in per_class.values()])),
        folds=folds,
        per_class=per_class,
        confusion=confusion.tolist(),
        labels=labels,
        answers=columns,
        n_clips=n_clips,
        n_seeds=n_seeds,
        division=division,
        skipped=count_skipped(dataset.skipped),
    )


def _label_result(confusion: npt.NDArray[Any], index: int) -> LabelResult:
    n_right = int(confusion[index, index])
    n_true, n_answered = int(confusion[index].sum()), int(confusion[:, index].sum())
    return LabelResult(
        recall=n_right / max(1, n_true),
        precision=n_right / max(1, n_answered),
        f1=2 * n_right / max(1, n_true + n_answered),
        n_clips=n_true,
    )
