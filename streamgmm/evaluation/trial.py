"""What was said of clips in an evaluation: everything that scores and reports follow from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streamgmm.dataset.dataset import Dataset
from streamgmm.evaluation.ablation import Part
from streamgmm.evaluation.answering import Answer
from streamgmm.evaluation.conditions import Conditions
from streamgmm.features.spec import FeatureSpec


class FoldAnswers(NamedTuple):
    """The answers to the clips of one fold, by a model that has learnt from the others.

    Attributes:
        fold: its name.
        seed: of the repetition.
        answers: one per clip.
    """

    fold: str
    seed: int
    answers: list[Answer]


class LeftOut(NamedTuple):
    """The same fold, answered by a model that was never taught one of the classes.

    Attributes:
        label: of the class that is left out.
        seed: of the repetition.
        known: answers to clips of the other classes, reserved labels not among them.
        unknown: answers to clips of this class.
    """

    label: str
    seed: int
    known: list[Answer]
    unknown: list[Answer]


class Trial(NamedTuple):
    """An evaluation before anything is counted.

    Attributes:
        dataset: its part that could be used.
        spec: of the features; its rate is what clips were heard at.
        conditions: what was done to the test clips.
        folds: each fold of each seed.
        left_out: each fold without each class; empty if that was not tried.
        ablation: how clips fared without each part of the trainer, the first without none; empty if that was not tried.
        n_clips: clips in the data set that could be used.
        n_seeds: repetitions with other seeds.
        division: what no two folds share: `fold` of the data set, `source`, or nothing for a given model.
    """

    dataset: Dataset
    spec: FeatureSpec
    conditions: Conditions
    folds: list[FoldAnswers]
    left_out: list[LeftOut]
    ablation: list[Part]
    n_clips: int
    n_seeds: int
    division: str

    @property
    def answers(self) -> Iterator[Answer]:
        """The answers of all folds and seeds."""
        return (answer for fold in self.folds for answer in fold.answers)
