"""Tunings of hand-made scores; a run of the tuned model gives exactly the counted alarms."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import soundfile

from streamgmm.cli.room_table import room_table
from streamgmm.cli.tuning_tables import conclusions
from streamgmm.errors import ConfigError, DataError
from streamgmm.listening.tracks import score_recording
from streamgmm.model.file import load_model, save_model
from streamgmm.model.room_card import room_card
from streamgmm.pipeline import Pipeline
from streamgmm.records import Start
from streamgmm.settings.config import Config
from streamgmm.settings.decision import DecisionSection, LabelSection
from streamgmm.tuning.operating_points import lowest_score, make_levels
from tests.conftest import DEMO_LABELS
from tests.narrowing import present
from tests.tuning.tuning_rig import background, event, tuned, with_copies


@pytest.fixture(scope="module")
def model(demo_model):
    return load_model(demo_model)


@pytest.fixture(scope="module")
def scene_heard(model, demo_scene):
    return score_recording(demo_scene, model, Config(), lowest_score(Config()))


HMM = DecisionSection(smoothing="hmm", onset_threshold=0.3, offset_threshold=0.2)


@pytest.mark.parametrize("section", [DecisionSection(), HMM], ids=["exponential", "hmm"])
def test_a_run_of_the_written_model_gives_exactly_the_alarms_counted(model, demo_scene, tmp_path, section):
    config = Config(decision=section)
    heard = score_recording(demo_scene, model, config, lowest_score(config))
    samples, _ = soundfile.read(demo_scene, dtype="float32")

    def alarms(of_model):
        pipeline = Pipeline(of_model, config)
        starts = [r for r in pipeline.push(samples) + pipeline.flush() if isinstance(r, Start)]
        return Counter(start.label for start in starts)

    before = alarms(model)
    assert before.total() > 5
    for budget_per_hour in (300.0, 600.0):
        result = tuned(model, heard, budget_per_hour=budget_per_hour, config=config)
        save_model(result.model, tmp_path / "tuned.sgm")
        labels = result.tuning.labels
        assert before == Counter({label: row.n_alarms_before for label, row in labels.items()})
        counted = Counter({label: row.n_alarms for label, row in labels.items()})
        assert alarms(load_model(tmp_path / "tuned.sgm")) == counted
        assert result.tuning.n_alarms < result.tuning.n_alarms_before


def test_a_label_that_never_comes_near_keeps_its_decision(model):
    result = tuned(model, background(model, {"siren": [0.7, 0.8, 0.9]}, n_hours=7.0), budget_per_hour=0.5)
    assert set(result.model.decision) == {"siren"}
    assert result.model.decision["siren"].onset_threshold > 0.9
    assert not result.tuning.labels["doorbell"].is_changed


def test_with_hours_enough_as_many_alarms_are_left_as_prove_the_budget(model):
    peaks = np.linspace(0.61, 0.99, 60).tolist()
    result = tuned(model, background(model, {"siren": peaks}, n_hours=40.0), budget_per_hour=1.0).tuning
    assert result.is_proven
    assert result.upper_per_hour <= 1.0
    assert 20 <= result.n_alarms < 40


def test_with_few_hours_no_alarm_is_left_and_the_threshold_lies_beyond_the_highest(model):
    peaks = {"siren": [0.7, 0.75, 0.8, 0.85], "knocking": [0.72]}
    result = tuned(model, background(model, peaks, n_hours=0.5), budget_per_hour=0.5)
    assert (result.tuning.n_alarms, result.tuning.n_alarms_before, result.tuning.is_proven) == (0, 5, False)
    assert result.tuning.expected_per_hour <= 0.5
    # One more step of the thresholds is not enough, as the next hour may bring higher scores.
    assert result.model.decision["siren"].onset_threshold > 0.92


def test_a_smaller_budget_never_lowers_a_threshold_of_the_only_noisy_label(model):
    heard = background(model, {"siren": np.linspace(0.3, 0.95, 30).tolist()}, n_hours=2.0)
    results = [tuned(model, heard, budget_per_hour=budget) for budget in (8.0, 4.0, 2.0, 1.0, 0.5)]
    thresholds = [result.tuning.labels["siren"].onset_threshold for result in results]
    assert thresholds == sorted(thresholds)


def test_a_budget_that_is_kept_anyway_changes_nothing(model):
    result = tuned(model, background(model, {"siren": [0.7]}, n_hours=10.0), budget_per_hour=100.0)
    assert result.model.decision == {}
    assert result.tuning.n_alarms == result.tuning.n_alarms_before == 1


def test_a_tuning_replaces_the_one_before(model):
    noisy = background(model, {"siren": [0.7, 0.8]}, n_hours=7.0)
    first = tuned(model, noisy, budget_per_hour=0.5).model
    again = tuned(first, background(model, {"doorbell": [0.7]}, n_hours=7.0), budget_per_hour=0.5)
    assert set(again.model.decision) == {"doorbell"}


def test_alarms_are_spent_on_the_label_whose_events_need_them(model):
    # Both labels raise the same alarms; only the events of one of them score low.
    peaks = np.linspace(0.61, 0.95, 40).tolist()
    heard = background(model, {"siren": peaks, "doorbell": peaks}, n_hours=40.0)
    events = [event(model, "siren", 0.7), event(model, "siren", 0.9999), *[event(model, "doorbell", 0.9999)] * 2]
    labels = tuned(model, heard, budget_per_hour=1.5, events=events).tuning.labels
    assert labels["siren"].onset_threshold <= 0.7 < labels["doorbell"].onset_threshold
    assert labels["siren"].recall == labels["doorbell"].recall == 1.0


def test_recall_and_latency_are_those_of_the_events(model):
    events = [event(model, "siren", score) for score in (0.5, 0.7, 0.8, 0.9)]
    row = tuned(model, background(model, {}), budget_per_hour=1.0, events=events).tuning.labels["siren"]
    hop_s = model.spec.hop_samples / model.spec.sample_rate_hz
    assert (row.recall_before, row.recall) == (0.75, 0.75)
    assert row.latency_s == pytest.approx(12 * hop_s)
    assert tuned(model, background(model, {}), budget_per_hour=1.0).tuning.recall is None


def test_recordings_are_held_out_one_by_one(model):
    # What only one recording holds is not foreseen by the others.
    quiet = [background(model, {"siren": [0.7]}, n_hours=2.0) for _ in range(3)]
    loud = background(model, {"doorbell": [0.9]}, n_hours=2.0)
    held_out = tuned(model, *quiet, loud, budget_per_hour=1.0).tuning.held_out
    assert held_out is not None
    assert (held_out.n_alarms, held_out.hours) == (1, 8.0)
    assert tuned(model, loud, budget_per_hour=1.0).tuning.held_out is None


def test_the_card_has_hours_budget_and_counts_but_no_file_names(model):
    heard = background(model, {"siren": [0.7, 0.8]}, n_hours=7.0, path="/home/anna/bedroom.wav")
    result = tuned(model, heard, budget_per_hour=0.5)
    card = result.model.card["tuning"]
    assert (card["hours"], card["budget_per_hour"], card["n_alarms_before"], card["n_alarms"]) == (7.0, 0.5, 2, 0)
    assert "bedroom" not in json.dumps(result.model.card)
    assert "bedroom" not in msgspec.json.encode(result.tuning).decode()
    assert result.model.card == {**model.card, "tuning": card}


def test_a_silent_background_is_rejected(model):
    heard = background(model, {})
    with pytest.raises(DataError, match="silent throughout"):
        tuned(model, heard._replace(silent_samples=heard.end_sample), budget_per_hour=1.0)


def test_settings_that_take_precedence_over_the_model_are_rejected(model):
    section = DecisionSection(
        labels={"siren": LabelSection(onset_threshold=0.9), "knocking": LabelSection(hangover_s=1)}
    )
    with pytest.raises(ConfigError) as caught:
        tuned(model, background(model, {}), budget_per_hour=1.0, config=Config(decision=section))
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["decision.labels.siren"]


@pytest.mark.parametrize("onset_threshold", [1e-6, 0.3, 0.5, 0.6, 1.0])
def test_levels_hold_the_threshold_of_the_settings_as_the_lowest_to_choose(onset_threshold):
    levels = make_levels(Config(decision=DecisionSection(onset_threshold=onset_threshold, offset_threshold=0.0)))
    assert levels.thresholds[levels.i_first] == onset_threshold
    assert all(threshold >= onset_threshold for threshold in levels.thresholds[levels.i_first :])
    assert levels.thresholds == sorted(levels.thresholds)
    assert all(map(math.isfinite, levels.logits))


def test_labels_that_make_no_event_are_not_tuned(model, scene_heard):
    assert set(tuned(model, scene_heard, budget_per_hour=700.0).tuning.labels) == set(DEMO_LABELS)


def test_without_events_the_copies_of_the_training_tell_the_recall(model):
    heard = background(model, {"siren": np.linspace(0.3, 0.9, 30).tolist()}, n_hours=10.0)
    copied = with_copies(model, siren=[0.2, 0.6, 0.8, 0.95, 0.99], doorbell=[0.75, 0.9])
    tuning = tuned(copied, heard, budget_per_hour=1.0).tuning
    assert tuning.is_by_copies
    assert (tuning.labels["siren"].n_events, tuning.labels["siren"].recall_before) == (5, 0.6)
    assert tuning.labels["doorbell"].recall == 1.0
    assert any("copies of the training clips" in line for line in conclusions(tuning))


def test_a_label_that_was_nearly_deaf_before_is_named(model):
    heard = background(model, {"siren": np.linspace(0.3, 0.6, 30).tolist()}, n_hours=10.0)
    copied = with_copies(model, siren=[0.2] * 9 + [0.99], doorbell=[0.99] * 9)
    lines = list(conclusions(tuned(copied, heard, budget_per_hour=1.0).tuning))
    assert [line for line in lines if line.startswith("warning: hardly a sound reaches the threshold of siren;")]


def test_what_the_thresholds_of_the_training_left_in_a_room_is_told_no_more(model):
    copied = with_copies(model, siren=[0.2, 0.6, 0.8])
    room = present(room_card(copied.card))
    known = msgspec.structs.replace(room, recalls={"siren": {"6": 0.5}})
    told = replace(copied, card={"room": msgspec.to_builtins(known)})
    heard = background(told, {"siren": [0.5, 0.9]}, n_hours=10.0)
    after = present(room_card(tuned(told, heard, budget_per_hour=1.0).model.card))
    assert (after.recalls, after.peaks) == ({}, room.peaks)
    assert room_table(told) is not None
    assert room_table(replace(told, card={"room": msgspec.to_builtins(after)})) is None


def test_the_thresholds_of_a_training_are_those_before_and_may_be_lowered_to(model):
    trained = replace(model, decision={"siren": LabelSection(onset_threshold=0.5)})
    levels = make_levels(Config(), trained)
    assert levels.thresholds[levels.i_first] == 0.5
    assert levels.thresholds[levels.index_before("siren")] == 0.5
    assert levels.thresholds[levels.index_before("doorbell")] == Config().decision.onset_threshold
    heard = background(trained, {"siren": [0.6]}, n_hours=10.0)
    tuning = tuned(trained, heard, budget_per_hour=100.0).tuning
    assert tuning.labels["siren"].n_alarms_before == 1
    # No sound comes near the others, so that theirs may be as low.
    assert tuning.labels["siren"].onset_threshold == 0.5
