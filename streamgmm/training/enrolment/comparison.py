"""Compare held-out scores of a model before and after a change of its classes, with allowance for chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from streamgmm.labels import is_reserved
from streamgmm.model.room_card import RoomCard, room_card
from streamgmm.shares import share_text

N_STANDARD_ERRORS = 1.0
"""Accuracy that the remaining classes may lose together (the one-standard-error rule: Breiman, Friedman, Olshen and
Stone, Classification and Regression Trees, 1984, section 3.4.3)."""

N_STANDARD_ERRORS_OF_ONE = 2.0
"""Recall that each remaining class may lose: of ten classes, one or two lose one standard error by chance alone."""


class HeldOutScores(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of held-out clips; the field names are those of the model card.

    Attributes:
        held_out_accuracy: share of all held-out clips that were recognised; None if none were held out.
        held_out_recalls: share of the held-out clips of each label that were recognised.
        n_clips: number of clips of each label.
        room: what is found of each label in a room; None if not known.
    """

    held_out_accuracy: float | None = None
    held_out_recalls: dict[str, float] = {}
    n_clips: dict[str, int] = {}
    room: RoomCard | None = None

    @property
    def labels(self) -> set[str]:
        """The labels that have a score."""
        return {label for label in self.held_out_recalls if self.n_clips.get(label, 0) > 0}

    def share_of(self, label: str) -> str:
        """Return how many clips of a label were recognised, with the interval of that share; `-` if none were."""
        if label not in self.labels:
            return "-"
        n_clips = self.n_clips[label]
        # A card keeps shares; the product is a whole number but for rounding.
        return share_text(round(self.held_out_recalls[label] * n_clips), n_clips)

    @property
    def share_of_all(self) -> str:
        """Recognised clips of all labels, with the interval of their share; `-` if none was held out."""
        labels = sorted(self.labels)
        if self.held_out_accuracy is None or not labels:
            return "-"
        n_clips = sum(self.n_clips[label] for label in labels)
        return share_text(round(self.held_out_accuracy * n_clips), n_clips)

    def accuracy_on(self, labels: Sequence[str]) -> float:
        """Return the share of the clips of `labels`, each with a score, that were recognised."""
        n_right = sum(self.held_out_recalls[label] * self.n_clips[label] for label in labels)
        return n_right / sum(self.n_clips[label] for label in labels)


class ModelComparison(NamedTuple):
    """The scores of a model before and after a change of its classes.

    Attributes:
        before: scores of the old model.
        after: scores of the new model.
        again: scores of the new model on the clips of the old one. These are compared, as new clips may be harder.
    """

    before: HeldOutScores
    after: HeldOutScores
    again: HeldOutScores

    @property
    def compared(self) -> list[str]:
        """Labels that have a score before and after, sorted, without reserved ones.

        These make no events, and the few recordings of a background tell little beside the sounds of the world.
        """
        # A background of one source is never held out and has no score; the old card may lack scores altogether.
        return sorted(label for label in self.before.labels & self.again.labels if not is_reserved(label))

    def clip_losses(self) -> list[str]:
        """Return the remaining classes that lose more recall than chance can explain; empty for none."""
        losses = [f"class '{label}'" for label in self.compared if self._is_loss([label], N_STANDARD_ERRORS_OF_ONE)]
        # A single test may be strict; with the same limit for each class, one of many would exceed it by chance.
        if self.compared and self._is_loss(self.compared, N_STANDARD_ERRORS):
            losses.insert(0, "the remaining classes, taken together")
        return losses

    def _is_loss(self, labels: Sequence[str], n_errors: float) -> bool:
        share = self.before.accuracy_on(labels)
        n_clips = sum(self.before.n_clips[label] for label in labels)
        return share - self.again.accuracy_on(labels) > n_errors * adjusted_standard_error(share, n_clips)

    def room_losses(self) -> list[str]:
        """Return the remaining classes of which less is found in a room than chance can explain; empty for none."""
        before, again = self.before.room, self.again.room
        if before is None or again is None:
            return []
        found = {label: RoomShare.of(before, label) for label in before.recalls}
        now = {label: RoomShare.of(again, label) for label in again.recalls}
        # A model whose copies were not kept says nothing of them.
        labels = [label for label in sorted(found.keys() & now.keys()) if found[label].n_clips and now[label].n_clips]
        losses = [
            f"class '{label}' in the room"
            for label in labels
            if now[label].is_loss_from(found[label], N_STANDARD_ERRORS_OF_ONE)
        ]
        if labels:
            own, other = (RoomShare.pooled([shares[label] for label in labels]) for shares in (found, now))
            if other.is_loss_from(own, N_STANDARD_ERRORS):
                losses.insert(0, "all classes in the room, taken together")
        return losses


class RoomShare(NamedTuple):
    """The share of copies in a room that is found, as a mean over their levels.

    Attributes:
        share: 0 to 1.
        n_clips: number of clips that were copied, one copy at each level: copies of one clip are no further evidence.
    """

    share: float
    n_clips: float

    @classmethod
    def of(cls, room: RoomCard, label: str) -> RoomShare:
        """Return the share of one label."""
        recalls = room.recalls[label]
        if not recalls:
            return cls(0.0, 0.0)
        return cls(float(np.mean(list(recalls.values()))), room.n_copies.get(label, 0) / len(recalls))

    @classmethod
    def pooled(cls, shares: Sequence[RoomShare]) -> RoomShare:
        """Return the share of several labels, each by its clips."""
        n_clips = sum(one.n_clips for one in shares)
        return cls(sum(one.share * one.n_clips for one in shares) / n_clips, n_clips)

    def is_loss_from(self, before: RoomShare, n_errors: float) -> bool:
        """Return whether it is lower than `before` by more than some standard errors."""
        # Of the smaller number: a cache keeps the copies of some clips only.
        error = adjusted_standard_error(before.share, min(before.n_clips, self.n_clips))
        return before.share - self.share > n_errors * error


def adjusted_standard_error(share: float, n: float) -> float:
    """Return the standard error of a `share` of `n` clips, after adding two right and two wrong ones, so never 0.

    Agresti and Coull, Approximate is better than "exact" for interval estimation of binomial proportions, The American
    Statistician, 1998.
    """
    # Without the added clips, a class with 100 % would have no error, and a single lost clip would count as a loss.
    adjusted = (share * n + 2.0) / (n + 4.0)
    return float(np.sqrt(adjusted * (1.0 - adjusted) / (n + 4.0)))


def scores_in_card(card: Mapping[str, Any]) -> HeldOutScores:
    """Return the scores in a model card; empty scores if no training wrote it."""
    # Cards are free-form: a model made by other means may lack these keys, or use them for something else.
    try:
        scores = msgspec.convert({key: value for key, value in card.items() if key != "room"}, HeldOutScores)
    except msgspec.ValidationError:
        scores = HeldOutScores()
    return msgspec.structs.replace(scores, room=room_card(card))
