"""Answers of an evaluation, from which scores and reports are computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streamgmm.dataset.dataset import Dataset
from streamgmm.evaluation.ablation import Ablation
from streamgmm.evaluation.answering import ClipAnswer
from streamgmm.evaluation.conditions import Conditions
from streamgmm.features.spec import FeatureSpec


class FoldAnswers(NamedTuple):
    """The answers to the clips of one fold, by a model trained on the other folds.

    Attributes:
        fold: name of the fold.
        seed: seed of the repetition.
        answers: one per clip.
    """

    fold: str
    seed: int
    answers: list[ClipAnswer]


class LeftOut(NamedTuple):
    """The same fold, answered by a model that was not trained on one of the classes.

    Attributes:
        label: the class that was left out.
        seed: seed of the repetition.
        known: answers to clips of the other classes, without reserved labels.
        unknown: answers to clips of this class.
    """

    label: str
    seed: int
    known: list[ClipAnswer]
    unknown: list[ClipAnswer]


class Trial(NamedTuple):
    """All answers of an evaluation.

    Attributes:
        dataset: the part that could be used.
        spec: features; clips were resampled to its rate.
        conditions: changes to the test clips.
        folds: each fold of each seed.
        left_out: each fold without each class; empty without an open-set evaluation.
        ablation: accuracy with all parts of the trainer first, then without each part; empty if not requested.
        n_clips: clips in the data set that could be used.
        n_seeds: number of repetitions with other seeds.
        division: what no two folds share: `fold` of the data set, `source`, or nothing for a given model.
    """

    dataset: Dataset
    spec: FeatureSpec
    conditions: Conditions
    folds: list[FoldAnswers]
    left_out: list[LeftOut]
    ablation: list[Ablation]
    n_clips: int
    n_seeds: int
    division: str

    @property
    def answers(self) -> Iterator[ClipAnswer]:
        """Answers of all folds and seeds."""
        return (answer for fold in self.folds for answer in fold.answers)
