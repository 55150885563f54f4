"""A background that holds what it must not hold is noticed; ordinary confusions are not taken for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamgmm.listening.taught_sounds import find_taught_sounds
from streamgmm.model.file import load_model
from streamgmm.settings.config import Config
from streamgmm.settings.decision import LabelSection
from streamgmm.tuning.taught_sounds import TaughtSoundError
from tests.tuning.tuning_rig import HOPS_PER_ALARM, background, tuned, with_copies

COPIES = {"siren": [0.5, 0.8, 0.9, 0.95, 0.97], "doorbell": [0.9, 0.99, 0.999]}


@pytest.fixture(scope="module")
def model(demo_model):
    return with_copies(load_model(demo_model), **COPIES)


def test_the_error_names_label_times_scores_and_what_would_be_left(model):
    heard = background(model, {"siren": [0.7, 0.98, 0.97]}, n_hours=0.5, path="kitchen.wav")
    with pytest.raises(TaughtSoundError) as refused:
        tuned(model, heard, budget_per_hour=1.0)
    hop_s = model.spec.hop_samples / model.spec.sample_rate_hz
    onsets = ", ".join(f"{(HOPS_PER_ALARM * i - 1) * hop_s:.1f}" for i in (2, 3))
    assert refused.value.what == (
        f"the background seems to hold taught sounds: 'siren' 2 times in kitchen.wav at {onsets} s, "
        "with a score of 0.9800; thresholds made from it would find 0% of 'siren'"
    )
    assert "--accept-events" in refused.value.hint


def test_accepted_events_are_false_alarms(model):
    tuning = tuned(
        *(model, background(model, {"siren": [0.98, 0.97]}, n_hours=0.5)),
        budget_per_hour=1.0,
        accepts_events=True,
        accepts_loss=True,
    ).tuning
    assert (tuning.labels["siren"].n_alarms_before, tuning.labels["siren"].recall) == (2, 0.0)


@pytest.mark.parametrize(
    ("peaks", "n_hours"),
    [({"siren": [0.85] * 9}, 0.5), ({"knocking": [0.99]}, 0.5), ({"siren": [0.95]}, 20.0), ({}, 0.5)],
    ids=["below most copies", "no copies known", "one within the budget", "nothing"],
)
def test_ordinary_backgrounds_are_tuned(model, peaks, n_hours):
    tuned(model, background(model, peaks, n_hours=n_hours), budget_per_hour=1.0, accepts_loss=True)


def test_a_label_that_is_deaf_already_is_not_judged(model):
    deaf = replace(model, decision={"siren": LabelSection(onset_threshold=0.98)})
    heard = background(deaf, {"siren": [0.99]}, n_hours=0.5)
    assert len(find_taught_sounds([heard], deaf, Config())) == 1
    tuned(deaf, heard, budget_per_hour=1.0)


def test_a_score_below_the_threshold_of_the_training_is_no_taught_sound(model):
    strict = replace(model, decision={"siren": LabelSection(onset_threshold=0.96)})
    heard = background(strict, {"siren": [0.95]}, n_hours=0.5)
    assert find_taught_sounds([heard], model, Config())
    assert find_taught_sounds([heard], strict, Config()) == []


@pytest.mark.parametrize(
    ("members", "is_found"),
    [
        ({"n_clips": {"siren": 2}, "n_windows": {"siren": 20}}, False),
        ({"n_clips": {"siren": 2}, "n_windows": {"siren": 60}}, True),
        ({"n_clips": {"siren": 0}, "n_windows": {"siren": 20}}, True),
        ({"n_clips": {}, "n_windows": {}}, True),
        ({"n_clips": "many"}, True),
    ],
    ids=["short clips", "long clips", "no clips", "no labels", "another form"],
)
def test_a_noise_much_longer_than_the_clips_is_no_taught_sound(model, members, is_found):
    described = replace(model, card={"room": model.card["room"], **members})
    window_hops = round(model.spec.window_samples / model.spec.hop_samples)
    heard = background(described, {"siren": [0.95]}, n_hours=0.5, n_hops=2 * (10 + window_hops) + 1)
    assert bool(find_taught_sounds([heard], described, Config())) is is_found


def test_long_lists_are_cut(model):
    heard = [background(model, {"siren": [0.98] * 7}, n_hours=0.1, path=f"{i}.wav") for i in range(7)]
    with pytest.raises(TaughtSoundError) as refused:
        tuned(model, *heard, budget_per_hour=1.0)
    assert refused.value.what.count("'siren' 7 times") == 5
    assert ", ... s" in refused.value.what
    assert "; ..." in refused.value.what


@pytest.mark.parametrize("room", [None, "loud", {"max_false_alarms_per_hour": 5.0, "peaks": {"owl": [0.5]}}])
def test_a_card_that_tells_nothing_of_the_label_finds_nothing(model, room):
    other = replace(model, card={"room": room})
    assert find_taught_sounds([background(other, {"siren": [0.99]})], other, Config()) == []
