from __future__ import annotations

import numpy as np
import pytest

from streamgmm.model.room_card import RoomCard
from streamgmm.training.enrolment.comparison import (
    HeldOutScores,
    ModelComparison,
    adjusted_standard_error,
    scores_in_card,
)


def scores(**n_right: tuple[int, int]) -> HeldOutScores:
    """Scores of (clips right, clips) for each label."""
    recalls = {label: right / n for label, (right, n) in n_right.items()}
    n_clips = {label: n for label, (_, n) in n_right.items()}
    accuracy = sum(right for right, _ in n_right.values()) / sum(n_clips.values())
    return HeldOutScores(held_out_accuracy=accuracy, held_out_recalls=recalls, n_clips=n_clips)


def losses(before: HeldOutScores, again: HeldOutScores) -> list[str]:
    comparison = ModelComparison(before, HeldOutScores(), again)
    return [*comparison.clip_losses(), *comparison.room_losses()]


def test_what_chance_explains_is_no_loss():
    before = scores(a=(40, 40), b=(36, 40))
    assert losses(before, scores(a=(39, 40), b=(35, 40), c=(0, 5))) == []
    assert losses(before, before) == []
    assert losses(before, scores(a=(40, 40), b=(40, 40))) == []


def test_a_fall_of_all_together_is_a_loss():
    assert losses(scores(a=(40, 40), b=(36, 40)), scores(a=(38, 40), b=(34, 40), c=(5, 5))) == [
        "the remaining classes, taken together"
    ]


def test_the_fall_of_a_single_class_is_a_loss_whatever_the_others_gain():
    before, after = scores(a=(36, 40), b=(30, 40)), scores(a=(30, 40), b=(40, 40))
    assert losses(before, after) == ["class 'a'"]


def test_a_class_that_one_of_them_does_not_have_and_those_without_a_score_do_not_count():
    assert losses(scores(a=(40, 40)), scores(a=(40, 40), c=(1, 40))) == []
    assert losses(scores(a=(40, 40), background=(40, 40)), scores(a=(40, 40), background=(1, 40))) == []
    assert losses(HeldOutScores(), scores(a=(1, 40))) == []


def test_the_standard_error_is_that_of_the_adjusted_share():
    assert adjusted_standard_error(0.5, 96) == pytest.approx(0.05)
    assert 0.0 < adjusted_standard_error(1.0, 4) == pytest.approx(np.sqrt(0.75 * 0.25 / 8))


def in_room(n_copies: int = 160, **found: float) -> HeldOutScores:
    """Scores in a room of labels that are found as often at each of four levels."""
    recalls = {label: dict.fromkeys(("0", "6", "12", "20"), share) for label, share in found.items()}
    room = RoomCard(max_false_alarms_per_hour=1.0, recalls=recalls, n_copies=dict.fromkeys(found, n_copies))
    return HeldOutScores(room=room)


def test_a_fall_in_the_room_is_a_loss_beyond_what_chance_explains():
    assert losses(in_room(a=0.8, b=0.8), in_room(a=0.75, b=0.8)) == []
    assert losses(in_room(a=0.8, b=0.8), in_room(a=0.6, b=0.95)) == ["class 'a' in the room"]
    assert losses(in_room(a=0.8, b=0.8), in_room(a=0.7, b=0.75)) == ["all classes in the room, taken together"]
    # Of few copies, chance explains more.
    assert losses(in_room(a=0.8), in_room(20, a=0.66)) == []


def test_a_room_without_copies_is_not_compared():
    assert losses(in_room(a=0.8), in_room(0, a=0.0)) == []
    assert losses(in_room(a=0.8), scores(a=(4, 4))) == []
    assert losses(in_room(a=0.8), HeldOutScores(room=RoomCard(max_false_alarms_per_hour=1.0, recalls={"a": {}}))) == []


@pytest.mark.parametrize("card", [{}, {"f1": 0.9}, {"held_out_recalls": {"a": "good"}}, {"n_clips": 3}])
def test_a_card_without_scores_gives_none(card):
    assert scores_in_card(card) == HeldOutScores()
