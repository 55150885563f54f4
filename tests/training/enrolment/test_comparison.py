from __future__ import annotations

import numpy as np
import pytest

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


def losses(before: HeldOutScores, after: HeldOutScores, staying=("a", "b")) -> list[str]:
    return ModelComparison(before, after, list(staying)).losses()


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


def test_the_class_that_was_changed_and_those_without_a_score_do_not_count():
    assert losses(scores(a=(40, 40), c=(40, 40)), scores(a=(40, 40), c=(1, 40))) == []
    assert losses(HeldOutScores(), scores(a=(1, 40))) == []


def test_the_standard_error_is_that_of_the_adjusted_share():
    assert adjusted_standard_error(0.5, 96) == pytest.approx(0.05)
    assert 0.0 < adjusted_standard_error(1.0, 4) == pytest.approx(np.sqrt(0.75 * 0.25 / 8))


@pytest.mark.parametrize("card", [{}, {"f1": 0.9}, {"held_out_recalls": {"a": "good"}}, {"n_clips": 3}])
def test_a_card_without_scores_gives_none(card):
    assert scores_in_card(card) == HeldOutScores()
