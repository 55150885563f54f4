"""Scores of an evaluation, computed from its answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm.arrays import AnyArray, Float64Array
from streamgmm.dataset.reasons import count_skipped
from streamgmm.evaluation import metrics
from streamgmm.evaluation.answering import ClipAnswer
from streamgmm.evaluation.trial import FoldAnswers, LeftOut, Trial


class FoldResult(msgspec.Struct, frozen=True, kw_only=True):
    """One fold of one seed: its name, share of clips recognised, and number of clips."""

    fold: str
    seed: int
    accuracy: float
    n_clips: int


class LabelResult(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of one label over all folds and seeds.

    Recall is `n_right` of `n_clips`, precision `n_right` of the `n_answered` clips that were given this label.
    """

    recall: float
    precision: float
    f1: float
    n_clips: int
    n_right: int
    n_answered: int


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an evaluation; its fields are the keys of the JSON report.

    Standard errors are those of a mean over folds, each of them the mean over seeds: other seeds divide the same
    clips, and do not make the mean more certain.

    Attributes:
        accuracy: share of clips recognised, mean over folds and seeds.
        accuracy_sd: standard deviation of the accuracy over folds, of the mean over seeds (n - 1).
        accuracy_se: standard error of the accuracy; null for a single fold.
        balanced_accuracy: mean recall over labels.
        log_loss: of the calibrated posteriors (nat), mean over folds and seeds; null if no clip has a
            label of the model. A clip without an active hop counts with equal posteriors.
        log_loss_se: its standard error.
        ece: expected calibration error of the posterior of the best label, 15 bins of equal width.
        ece_uncalibrated: the same with a likelihood scale of 1.
        auroc_unknown: area under the ROC curve of in-domain scores, of trained classes against the class that was left
            out, mean over the classes left out in turn; null without an open-set evaluation.
        auroc_unknown_se: its standard error over classes.
        accepted_unknown_at_90: share of clips of the class left out that are accepted where 90 % of the others are.
        conditions: changes to the test clips.
        folds: each fold of each seed.
        per_class: by label.
        confusion: counts of clips of all seeds, rows are true labels, columns answers.
        labels: names of the rows.
        answers: names of the columns: the labels, and `silence` and `unknown` if they were answered.
        n_clips: clips in the data set that could be used.
        n_seeds: repetitions with other seeds.
        division: what no two folds share: `fold` of the data set, `source`, or nothing for a given model.
        skipped: recordings left out, by reason.
    """

    accuracy: float
    accuracy_sd: float
    accuracy_se: float | None
    balanced_accuracy: float
    log_loss: float | None
    log_loss_se: float | None
    ece: float | None
    ece_uncalibrated: float | None
    auroc_unknown: float | None
    auroc_unknown_se: float | None
    accepted_unknown_at_90: float | None
    conditions: dict[str, str | float | None]
    folds: list[FoldResult]
    per_class: dict[str, LabelResult]
    confusion: list[list[int]]
    labels: list[str]
    answers: list[str]
    n_clips: int
    n_seeds: int
    division: str
    skipped: dict[str, int]


class Posteriors(NamedTuple):
    """Posteriors of clips with a label of the model, whatever the answer.

    Attributes:
        values: float64, shape (n, n_labels), rows sum to 1.
        true_indices: column of the true label in each row.
    """

    values: Float64Array
    true_indices: list[int]

    @property
    def bins(self) -> list[metrics.Bin]:
        """Accuracy of the best label by its posterior."""
        is_right = self.values.argmax(axis=1) == np.array(self.true_indices)
        return metrics.reliability(self.values.max(axis=1), is_right)


def score_trial(trial: Trial) -> Evaluation:
    """Return the scores of `trial`."""
    answers = list(trial.answers)
    labels = trial.dataset.labels
    columns, confusion = count_answers(answers, labels)
    per_class = {label: _label_result(confusion, i) for i, label in enumerate(labels)}
    folds = [_fold_result(fold) for fold in trial.folds]
    accuracies = _means((fold.fold, fold.accuracy) for fold in folds)
    # A fold without any clip that has a label of the model has no log loss.
    losses = _means((fold.fold, loss) for fold in trial.folds if (loss := _log_loss(fold)) is not None)
    return Evaluation(
        accuracy=float(np.mean(accuracies)),
        accuracy_sd=float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0,
        accuracy_se=metrics.standard_error_of_mean(accuracies),
        balanced_accuracy=float(np.mean([result.recall for result in per_class.values()])),
        log_loss=float(np.mean(losses)) if losses else None,
        log_loss_se=metrics.standard_error_of_mean(losses),
        ece=_calibration_error(answers),
        ece_uncalibrated=_calibration_error(answers, is_calibrated=False),
        **_open_set_scores(trial.left_out),
        conditions=trial.conditions.described(),
        folds=folds,
        per_class=per_class,
        confusion=confusion.tolist(),
        labels=labels,
        answers=columns,
        n_clips=trial.n_clips,
        n_seeds=trial.n_seeds,
        division=trial.division,
        skipped=count_skipped(trial.dataset.skipped),
    )


def posteriors_of(answers: Iterable[ClipAnswer], *, is_calibrated: bool = True) -> Posteriors | None:
    """Return the posteriors of all clips with a label of the model; None if there are none.

    A clip without an active hop has no posteriors, and counts with equal ones.
    """
    rows: list[Float64Array] = []
    true_indices: list[int] = []
    for answer in answers:
        scores = (answer.decision if is_calibrated else answer.uncalibrated).posteriors
        # Clips that are to be answered `unknown` or `silence` have no column in a model without these labels.
        if answer.clip.label in scores:
            rows.append(
                np.array(list(scores.values())) if any(scores.values()) else np.full(len(scores), 1 / len(scores))
            )
            true_indices.append(list(scores).index(answer.clip.label))
    return Posteriors(np.stack(rows), true_indices) if rows else None


def in_domain_scores_of_answers(answers: Iterable[ClipAnswer]) -> Float64Array:
    """Return the scores that decide between a label and `unknown`, 0 to 1, shape (n_answers,)."""
    return np.array([answer.decision.in_domain_score for answer in answers])


def is_right(answer: ClipAnswer) -> bool:
    """Return whether the clip was recognised."""
    return answer.decision.label == answer.clip.label


def count_answers(answers: Iterable[ClipAnswer], labels: Sequence[str]) -> tuple[list[str], AnyArray]:
    """Return the names of the columns, and how often each label (row) was answered with each of them (column)."""
    pairs = [(answer.clip.label, answer.decision.label) for answer in answers]
    # Answers that are no labels of the data set come last, so that the first columns match the rows.
    columns = [*labels, *sorted({given for _, given in pairs} - set(labels))]
    confusion = np.zeros((len(labels), len(columns)), dtype=int)
    for label, given in pairs:
        confusion[labels.index(label), columns.index(given)] += 1
    return columns, confusion


def _fold_result(fold: FoldAnswers) -> FoldResult:
    n_right = sum(map(is_right, fold.answers))
    n_clips = len(fold.answers)
    return FoldResult(fold=fold.fold, seed=fold.seed, accuracy=n_right / max(1, n_clips), n_clips=n_clips)


def _label_result(confusion: AnyArray, index: int) -> LabelResult:
    n_right = int(confusion[index, index])
    n_true, n_answered = int(confusion[index].sum()), int(confusion[:, index].sum())
    return LabelResult(
        recall=n_right / max(1, n_true),
        precision=n_right / max(1, n_answered),
        f1=2 * n_right / max(1, n_true + n_answered),
        n_clips=n_true,
        n_right=n_right,
        n_answered=n_answered,
    )


def _log_loss(fold: FoldAnswers) -> float | None:
    posteriors = posteriors_of(fold.answers)
    return None if posteriors is None else metrics.log_loss(*posteriors)


def _calibration_error(answers: Iterable[ClipAnswer], *, is_calibrated: bool = True) -> float | None:
    posteriors = posteriors_of(answers, is_calibrated=is_calibrated)
    return None if posteriors is None else metrics.calibration_error(posteriors.bins)


def _open_set_scores(left_out: Sequence[LeftOut]) -> dict[str, float | None]:
    """Return means over classes, each of them the mean over seeds; the folds of a seed are pooled."""
    pooled = _pool(left_out)
    areas = _means((label, metrics.auroc(*pair)) for (label, _), pair in pooled.items())
    passed = _means((label, metrics.accepted_unknown(*pair)) for (label, _), pair in pooled.items())
    return {
        "auroc_unknown": float(np.mean(areas)) if areas else None,
        "auroc_unknown_se": metrics.standard_error_of_mean(areas),
        "accepted_unknown_at_90": float(np.mean(passed)) if passed else None,
    }


def _pool(left_out: Iterable[LeftOut]) -> dict[tuple[str, int], tuple[AnyArray, AnyArray]]:
    """Return in-domain scores of the known and of the unknown clips of all folds, by label and seed."""
    known: dict[tuple[str, int], list[ClipAnswer]] = defaultdict(list)
    unknown: dict[tuple[str, int], list[ClipAnswer]] = defaultdict(list)
    for one in left_out:
        known[one.label, one.seed] += one.known
        unknown[one.label, one.seed] += one.unknown
    # Without clips on both sides there is nothing to rank.
    return {
        key: (in_domain_scores_of_answers(known[key]), in_domain_scores_of_answers(unknown[key]))
        for key in known
        if known[key] and unknown[key]
    }


def _means(values: Iterable[tuple[str, float]]) -> list[float]:
    """Return the mean of the values of each name, in order of the names: over the seeds of folds or classes."""
    groups: dict[str, list[float]] = defaultdict(list)
    for name, value in values:
        groups[name].append(value)
    return [float(np.mean(groups[name])) for name in sorted(groups)]
