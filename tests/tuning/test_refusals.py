"""Budgets that cannot be kept, and what is said of the smallest that can."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from streamgmm.model.file import load_model
from streamgmm.training.selection.thresholds import DEAF_RECALL
from streamgmm.tuning import choice, refusals
from streamgmm.tuning.refusals import BudgetError
from tests.tuning.tuning_rig import background, tuned, with_copies


@pytest.fixture(scope="module")
def model(demo_model):
    return load_model(demo_model)


def test_a_budget_that_cannot_be_met_names_the_labels(model):
    heard = background(model, {"siren": [1.0] * 40, "doorbell": [0.7]}, n_hours=1.0)
    with pytest.raises(BudgetError, match=r"no threshold keeps false alarms within 0\.5 .*'siren' 40"):
        tuned(model, heard, budget_per_hour=0.5)


def test_the_error_names_the_alarm_that_leaves_a_budget_unproven(model):
    heard = background(model, {"siren": [1.0]}, n_hours=1.0)
    with pytest.raises(
        BudgetError,
        match=r"alarms within 2\.5 .* at most 0 may remain.* leaves 1 \('siren' 1\)",
    ):
        tuned(model, heard, budget_per_hour=2.5)


def test_thresholds_that_hardly_a_sound_reaches_are_refused_with_a_budget_that_is_worth_it(model):
    heard = background(model, {"siren": [0.97] * 20}, n_hours=2.0)
    with pytest.raises(BudgetError, match=r"0% of the sounds would be found, now 100%") as refused:
        tuned(with_copies(model, siren=[0.8, 0.9, 0.95]), heard, budget_per_hour=0.5, accepts_events=True)
    hint = refused.value.hint
    assert re.match(r"a budget of [\d.]+ an hour is the smallest that leaves 'siren' a recall of \d+%; or record", hint)
    asked = float(hint.split()[3])
    model_with_copies = with_copies(model, siren=[0.8, 0.9, 0.95])
    assert (tuned(model_with_copies, heard, budget_per_hour=asked, accepts_events=True).tuning.recall or 0.0) >= 0.5
    with pytest.raises(BudgetError):
        tuned(model_with_copies, heard, budget_per_hour=0.9 * asked, accepts_events=True)


def test_a_label_of_which_hardly_a_sound_would_be_found_is_refused_even_if_others_are(model):
    heard = background(model, {"siren": [0.97] * 20}, n_hours=2.0)
    copied = with_copies(model, siren=[0.8, 0.9, 0.95], doorbell=[0.9] * 30, knocking=[0.99] * 30)
    with pytest.raises(BudgetError, match=r"within 0\.5 per hour, hardly a sound of 'siren' would be") as refused:
        tuned(copied, heard, budget_per_hour=0.5, accepts_events=True)
    assert refused.value.hint.endswith("; or go without: --force")
    asked = float(refused.value.hint.split()[3])
    recalls = tuned(copied, heard, budget_per_hour=asked, accepts_events=True).tuning.labels
    assert (recalls["siren"].recall or 0.0) >= DEAF_RECALL
    with pytest.raises(BudgetError):
        tuned(copied, heard, budget_per_hour=0.9 * asked, accepts_events=True)
    accepted = tuned(copied, heard, budget_per_hour=0.5, accepts_events=True, accepts_loss=True).tuning
    assert (accepted.labels["siren"].recall, accepted.labels["doorbell"].recall) == (0.0, 1.0)


def test_long_events_that_make_a_label_deaf_are_named_with_their_times(model):
    heard = background(model, {"siren": [0.97]}, n_hours=2.0, n_hops=400, path="kitchen.wav")
    card = {"n_clips": {"siren": 3}, "n_windows": {"siren": 30}}
    copied = with_copies(model, siren=[0.8, 0.9, 0.95])
    described = replace(copied, card={"room": copied.card["room"], **card})
    with pytest.raises(BudgetError) as refused:
        tuned(described, heard, budget_per_hour=0.5)
    assert refused.value.hint.startswith("the background sounds like 'siren' once in kitchen.wav at ")
    assert ": if that is one, record the room without it; or else a budget of " in refused.value.hint


@pytest.mark.parametrize(
    ("n_alarms", "budget_per_hour"), [(40, 0.5), (40, 1e-9), (40, 7.0), (3, 0.5), (3, 1e-9), (0, 1e-9)]
)
def test_the_smallest_budget_that_can_be_kept_is_named_and_can_be_kept(model, n_alarms, budget_per_hour):
    heard = background(model, {"siren": [1.0] * n_alarms}, n_hours=0.5)
    with pytest.raises(BudgetError, match="no threshold keeps") as refused:
        tuned(model, heard, budget_per_hour=budget_per_hour)
    named = re.match(r"a budget of ([\d.e-]+) an hour is the smallest that can be kept; or remove", refused.value.hint)
    assert named is not None
    smallest = float(named.group(1))
    tuned(model, heard, budget_per_hour=smallest)
    with pytest.raises(BudgetError):
        tuned(model, heard, budget_per_hour=0.9 * smallest)


def test_where_no_budget_can_be_kept_the_error_says_so(model, monkeypatch):
    for module in (choice, refusals):
        monkeypatch.setattr(module, "MAX_BUDGET_PER_HOUR", 10.0)
    with pytest.raises(BudgetError) as refused:
        tuned(model, background(model, {"siren": [1.0] * 80}), budget_per_hour=5.0)
    assert refused.value.hint.startswith("no budget up to 10 an hour can be kept")
