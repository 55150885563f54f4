"""Budgets that cannot be kept, and what is said of the smallest that can."""

from __future__ import annotations

import pytest

from streamgmm.model.file import load_model
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
    assert "per hour would keep 100%" in str(refused.value.hint)
