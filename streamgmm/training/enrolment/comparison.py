"""Whether a changed model is worse for the classes that it had before: by how held-out clips fare, and by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from streamgmm.shares import share_text

N_STANDARD_ERRORS = 1.0
"""The classes that stay may lose as much of their accuracy together (the one-standard-error rule: Breiman, Friedman,
Olshen and Stone, Classification and Regression Trees, 1984, section 3.4.3)."""

N_STANDARD_ERRORS_OF_ONE = 2.0
"""And each of them so much of its recall: of ten classes one or two are off by one by chance alone."""


class HeldOutScores(msgspec.Struct, frozen=True, kw_only=True):
    """How clips fared that were held out; the names of the fields are those of the card.

    Attributes:
        held_out_accuracy: share of all of them that were recognised; None if none were held out.
        held_out_recalls: the same for each label.
        n_clips: clips of each label.
    """

    held_out_accuracy: float | None = None
    held_out_recalls: dict[str, float] = {}
    n_clips: dict[str, int] = {}

    @property
    def labels(self) -> set[str]:
        """The labels that have a score."""
        return {label for label in self.held_out_recalls if self.n_clips.get(label, 0) > 0}

    def share_of(self, label: str) -> str:
        """Return how many clips of a label were recognised, with the interval of that share; `-` if none were."""
        if label not in self.labels:
            return "-"
        n_clips = self.n_clips[label]
        return share_text(round(self.held_out_recalls[label] * n_clips), n_clips)

    @property
    def share_of_all(self) -> str:
        """How many clips of all labels were recognised, with the interval of that share; `-` if none was held out."""
        labels = sorted(self.labels)
        if self.held_out_accuracy is None or not labels:
            return "-"
        n_clips = sum(self.n_clips[label] for label in labels)
        return share_text(round(self.held_out_accuracy * n_clips), n_clips)

    def accuracy_on(self, labels: Sequence[str]) -> float:
        """Share of the clips of `labels`, each with a score, that were recognised."""
        n_right = sum(self.held_out_recalls[label] * self.n_clips[label] for label in labels)
        return n_right / sum(self.n_clips[label] for label in labels)


class Comparison(NamedTuple):
    """The scores of a model before and after a change of its classes.

    Attributes:
        before: of the old model.
        after: of the new one.
        staying: labels that both have, one that was extended not among them.
    """

    before: HeldOutScores
    after: HeldOutScores
    staying: list[str]

    @property
    def compared(self) -> list[str]:
        """Those of `staying` that have a score before and after."""
        return [label for label in self.staying if label in self.before.labels & self.after.labels]

    def losses(self) -> list[str]:
        """Which classes fare worse than chance explains, of those that stay; empty if none does."""
        losses = [f"class '{label}'" for label in self.compared if self._is_loss([label], N_STANDARD_ERRORS_OF_ONE)]
        if self.compared and self._is_loss(self.compared, N_STANDARD_ERRORS):
            losses.insert(0, "the classes that stay, taken together")
        return losses

    def _is_loss(self, labels: Sequence[str], n_errors: float) -> bool:
        share = self.before.accuracy_on(labels)
        n_clips = sum(self.before.n_clips[label] for label in labels)
        return share - self.after.accuracy_on(labels) > n_errors * standard_error(share, n_clips)


def standard_error(share: float, n: int) -> float:
    """Standard error of a `share` of `n` clips; never 0, since two more are added that are right, and two wrong ones.

    Agresti and Coull, Approximate is better than "exact" for interval estimation of binomial proportions, The American
    Statistician, 1998.
    """
    adjusted = (share * n + 2.0) / (n + 4.0)
    return float(np.sqrt(adjusted * (1.0 - adjusted) / (n + 4.0)))


def scores_of(card: Mapping[str, Any]) -> HeldOutScores:
    """The scores that a card tells; none if it is not a card of a training."""
    try:
        return msgspec.convert(dict(card), HeldOutScores)
    except msgspec.ValidationError:
        return HeldOutScores()
