"""Answers of an evaluation, from which scores and reports are computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streamgmm.dataset.dataset import Dataset
from streamgmm.evaluation.answering import ClipAnswer
from streamgmm.evaluation.conditions import Conditions
from streamgmm.features.spec import FeatureSpec


class FoldAnswers(NamedTuple):
    """The answers to the clips of one fold, by a model trained on the other folds."""

    fold: str
    seed: int
    answers: list[ClipAnswer]


class LeftOut(NamedTuple):
    """The same fold, answered by a model that was not trained on the class `label`.

    Attributes:
        known: answers to clips of the other classes, without reserved labels.
        unknown: answers to clips of that class.
    """

    label: str
    seed: int
    known: list[ClipAnswer]
    unknown: list[ClipAnswer]


class Trial(NamedTuple):
    """All answers of an evaluation.

    Attributes:
        dataset: the part that could be used.
        conditions: changes to the test clips.
        left_out: each fold without each class; empty without an open-set evaluation.
        n_clips: clips in the data set that could be used.
        division: what no two folds share: `fold` of the data set, `source`, or nothing for a given model.
    """

    dataset: Dataset
    spec: FeatureSpec
    conditions: Conditions
    folds: list[FoldAnswers]
    left_out: list[LeftOut]
    n_clips: int
    n_seeds: int
    division: str

    @property
    def answers(self) -> Iterator[ClipAnswer]:
        """Answers of all folds and seeds."""
        return (answer for fold in self.folds for answer in fold.answers)
