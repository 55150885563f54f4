"""The choice among variations of the settings, with made results."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from streamgmm.settings.training import TrainingSection
from streamgmm.training.selection.held_out import HeldOutClip, HeldOutClips, HeldOutContext
from streamgmm.training.selection.search import (
    MIN_CLIPS_FOR_BOTTLENECK,
    VARIATIONS,
    bottleneck_choices,
    choose_bottleneck,
    choose_settings,
    is_better,
)
from tests.training.training_rig import make_clips

DEFAULTS = TrainingSection()
N_CLIPS = 200
N_FOLDS = 5


def held_out(separation: float, seed: int = 0) -> HeldOutClips:
    """Clips of two labels whose log-likelihoods lie `separation` apart on average."""
    return HeldOutClips(held_out_clips(separation, seed), 2)


def held_out_clips(separation: float, seed: int = 0, part: slice = slice(None)) -> list[HeldOutClip]:
    """The clips of some of the folds."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0.0, 1.0, (N_CLIPS, 1, 2))
    clips = []
    for n, row in enumerate(rows):
        row[:, n % 2] += separation
        clips.append(HeldOutClip(n % 2, row, np.ones(1)))
    n_each = N_CLIPS // N_FOLDS
    return [clip for i in range(N_FOLDS)[part] for clip in clips[i * n_each : (i + 1) * n_each]]


class Laboratory:
    """Returns results from a table of separations by setting, and records the settings, and those beyond a start."""

    def __init__(self, **separations: float) -> None:
        self.separations = separations
        self.asked: list[TrainingSection] = []
        self.went_on: list[TrainingSection] = []

    def __call__(self, settings, part) -> list[list[HeldOutClip]]:
        is_start = part.start is None and part.stop is not None
        (self.asked if is_start else self.went_on).extend(settings)
        return [held_out_clips(1.0 + sum(self.gains(training)), part=part) for training in settings]

    def gains(self, training: TrainingSection):
        for key, gain in self.separations.items():
            name, value = key.split("__")
            if str(getattr(training, name)).replace(".", "") == value:
                yield gain


def test_without_a_gain_the_defaults_stay_and_a_note_reports_it():
    laboratory = Laboratory()
    choice = choose_settings(DEFAULTS, 2, laboratory)
    assert choice.training == DEFAULTS
    n_tried = sum(map(len, VARIATIONS))
    assert choice.notes == (f"defaults kept: none of {n_tried} variations had a surely lower held-out log loss",)
    assert len(laboratory.asked) == 1 + n_tried


def test_variations_that_gain_nothing_on_the_first_folds_are_tried_on_no_others():
    laboratory = Laboratory(lda_shrinkage__01=-0.5, lda_shrinkage__06=0.5)
    choice = choose_settings(DEFAULTS, 2, laboratory)
    assert laboratory.went_on == [DEFAULTS, choice.training]


def test_a_gain_within_the_error_of_chance_changes_nothing():
    noisy = lambda settings, part: [held_out_clips(1.0, n, part) for n, _ in enumerate(settings)]  # noqa: E731
    assert choose_settings(DEFAULTS, 2, noisy).training == DEFAULTS


def test_copies_of_a_clip_do_not_make_a_difference_sure():
    # Each clip is heard once more often than it has copies, and they differ as it does.
    context = HeldOutContext(np.ones(1, dtype=bool), np.zeros(1), 10.0)
    alone = held_out_clips(1.0)
    copied = [
        one._replace(content_sha256=str(n), context=context if i else None)
        for n, clip in enumerate(alone)
        for i, one in enumerate([clip] * 9)
    ]
    apart, losses = HeldOutClips(copied, 2), np.arange(9.0 * N_CLIPS)
    assert apart.pooled(losses) == pytest.approx(losses.reshape(N_CLIPS, 9).mean(axis=1))
    assert HeldOutClips(alone, 2).pooled(losses[:N_CLIPS]) == pytest.approx(losses[:N_CLIPS])
    # Of the copies alone, and with another clip of the same recording after them.
    two = [one._replace(context=context, onset_s=onset_s) for onset_s in (0.0, 2.0) for one in copied[:3]]
    assert HeldOutClips(two, 2).pooled(np.arange(6.0)) == pytest.approx([1.0, 4.0])


def test_the_best_of_a_group_is_taken():
    choice = choose_settings(DEFAULTS, 2, Laboratory(lda_shrinkage__01=0.5, lda_shrinkage__06=1.0))
    assert choice.training == msgspec.structs.replace(DEFAULTS, lda_shrinkage=0.6)
    assert choice.notes[0].startswith("lda_shrinkage 0.6: held-out log loss ")


def test_winners_of_several_groups_are_combined_if_that_is_better_still():
    choice = choose_settings(DEFAULTS, 2, Laboratory(n_components__6=0.5, copies__False=1.0))
    assert choice.training == msgspec.structs.replace(DEFAULTS, n_components=6, copies=False)


def test_winners_that_do_not_go_together_leave_the_best_one():
    class Quarrel(Laboratory):
        def gains(self, training: TrainingSection):
            both = training.n_components == 6 and not training.copies
            return [-0.5] if both else super().gains(training)

    choice = choose_settings(DEFAULTS, 2, Quarrel(n_components__6=0.5, copies__False=1.0))
    assert choice.training == msgspec.structs.replace(DEFAULTS, copies=False)


@pytest.mark.parametrize(
    "own",
    [{"n_components": 2}, {"lda_shrinkage": 0.5}, {"n_principal": 8}, {"refinement": False}, {"copies": False}],
    ids=str,
)
def test_what_the_user_has_set_stays(own):
    laboratory = Laboratory()
    training = msgspec.structs.replace(DEFAULTS, **own)
    choose_settings(training, 2, laboratory)
    for name, value in own.items():
        assert {getattr(asked, name) for asked in laboratory.asked} == {value}


def test_what_makes_no_difference_is_not_tried():
    laboratory = Laboratory()
    without = msgspec.structs.replace(DEFAULTS, n_speed_copies=0, n_noise_copies=0, covariance="full")
    choose_settings(without, 2, laboratory)
    assert all(asked.copies and asked.refinement for asked in laboratory.asked)


@pytest.mark.parametrize(
    ("choice", "n_clips", "tried"),
    [
        ("auto", MIN_CLIPS_FOR_BOTTLENECK - 1, ["never"]),
        ("auto", MIN_CLIPS_FOR_BOTTLENECK, ["never", "always"]),
        ("always", 2, ["always"]),
        ("never", 100, ["never"]),
    ],
)
def test_a_bottleneck_is_tried_where_labels_have_many_clips_of_the_user(choice, n_clips, tried):
    clips = make_clips({"cat": 0.0, "horse": 3.0}, n_clips)
    world = [clip._replace(is_world=True) for clip in make_clips({"background": 0.0}, 200)]
    assert bottleneck_choices(choice, [*clips, *world], ["cat", "horse"]) == tried


@pytest.mark.parametrize(("separation", "chosen"), [(2.0, "always"), (1.02, "never"), (0.2, "never")])
def test_a_bottleneck_is_taken_if_held_out_clips_gain_more_than_by_chance(separation, chosen):
    candidates = [msgspec.structs.replace(DEFAULTS, bottleneck=choice) for choice in ("never", "always")]
    results = [held_out(1.0), held_out(separation, seed=1)]
    training, taken, (note,) = choose_bottleneck(candidates, results)
    assert training.bottleneck == chosen
    assert taken is results[chosen == "always"]
    assert note.startswith("a bottleneck: " if chosen == "always" else "no bottleneck: ")


def test_a_bottleneck_that_the_user_has_chosen_is_not_compared():
    result = held_out(1.0)
    assert choose_bottleneck([DEFAULTS], [result]) == (DEFAULTS, result, ())


@pytest.mark.parametrize(
    ("before", "after", "is_enough"), [(0.001, 0.0, False), (0.1, 0.096, False), (0.1, 0.09, True)]
)
def test_a_sure_gain_has_to_be_worth_a_change(before, after, is_enough):
    assert is_better(np.full(50, before), np.full(50, after)) == is_enough
    # As large, and by chance.
    noise = np.random.default_rng(0).normal(0.0, 1.0, 50)
    assert not is_better(np.full(50, before), after + noise - noise.mean())
