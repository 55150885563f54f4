from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from streamgmm.tuning.alarm_rates import (
    CONFIDENCE,
    N_TAIL_ALARMS,
    expected_rates,
    hours_to_prove,
    max_proven_alarms,
    upper_rate_per_hour,
)

LEVELS = np.arange(0.0, 12.0, 0.25)


@given(n_alarms=st.integers(0, 500), hours=st.floats(0.01, 1e4))
def test_at_the_upper_limit_so_few_alarms_are_as_rare_as_the_confidence_says(n_alarms, hours):
    limit = upper_rate_per_hour(n_alarms, hours)
    assert poisson.cdf(n_alarms, limit * hours) == pytest.approx(1.0 - CONFIDENCE, rel=1e-6)


def test_no_alarm_in_h_hours_leaves_three_by_h():
    assert upper_rate_per_hour(0, 10.0) == pytest.approx(-math.log(0.05) / 10.0)
    assert hours_to_prove(0.5) == pytest.approx(5.991, abs=1e-3)
    assert hours_to_prove(0.0) == math.inf


@given(rate=st.floats(0.01, 100.0), hours=st.floats(0.01, 1000.0))
def test_most_alarms_that_prove_a_rate_prove_it_and_one_more_does_not(rate, hours):
    n_alarms = max_proven_alarms(rate, hours)
    if n_alarms is None:
        assert upper_rate_per_hour(0, hours) > rate
    else:
        assert upper_rate_per_hour(n_alarms, hours) <= rate * (1 + 1e-9)
        assert upper_rate_per_hour(n_alarms + 1, hours) > rate


def counted(peaks):
    """Alarms at each level of a label whose alarms reach `peaks`."""
    return (np.asarray(peaks)[:, np.newaxis] >= LEVELS).sum(axis=0)


@given(st.lists(st.lists(st.floats(0.0, 11.0), max_size=40), min_size=1, max_size=4))
def test_rates_are_never_below_what_was_counted_and_never_rise(peaks_of_labels):
    n_alarms = np.array([counted(np.array(peaks)) if peaks else np.zeros(len(LEVELS)) for peaks in peaks_of_labels])
    rates = expected_rates(LEVELS, n_alarms.astype(np.int64), 2.0)
    assert (rates >= n_alarms / 2.0).all()
    assert (np.diff(rates, axis=1) <= 1e-12).all()
    assert (rates > 0.0).all()


@pytest.mark.parametrize(
    ("scale", "hours", "at_most"), [(0.7, 0.2, 0.5), (1.0, 0.2, 0.5), (2.0, 0.2, 4.0), (2.0, 24.0, 1.0)]
)
def test_levels_that_are_chosen_for_a_rate_have_no_higher_one_where_odds_are_calibrated(scale, hours, at_most):
    # Of 600 alarms an hour the excesses are exponential, so that the true rate at any level is known.
    rng = np.random.default_rng(1)
    levels = np.arange(0.0, 40.0, 0.25)
    true_rates = []
    for _ in range(50):
        peaks = rng.exponential(scale, rng.poisson(600 * hours))
        n_alarms = (len(peaks) - np.searchsorted(np.sort(peaks), levels))[np.newaxis]
        chosen = levels[np.argmax(expected_rates(levels, n_alarms, hours)[0] <= 0.5)]
        true_rates.append(600 * math.exp(-chosen / scale))
    # Minutes of audio cannot show that odds are overconfident by a factor of two; a day can.
    assert np.mean(true_rates) <= at_most


def rates_of(*peaks, hours=1.0):
    return expected_rates(LEVELS, np.array([counted(peaks)]), hours)[0]


@given(st.lists(st.floats(0.0, 11.0), max_size=30), st.floats(0.0, 11.0))
def test_one_alarm_more_never_makes_ten_times_bolder(peaks, one_more):
    assert (rates_of(*peaks, one_more) > 0.1 * rates_of(*peaks)).all()


@pytest.mark.parametrize("n_lower", [0, 1, 4, 7, 8, 9, 100])
def test_the_highest_alarm_is_soon_surpassed_whatever_lies_below(n_lower):
    rates = rates_of(6.8, *[1.7] * n_lower)
    assert rates[LEVELS == 7.0] > 0.5


@pytest.mark.parametrize("n_alarms", [8, 9, 40])
def test_alarms_that_are_all_alike_are_no_reason_to_trust_the_next_level(n_alarms):
    rates = rates_of(*[1.1] * n_alarms)
    assert rates[LEVELS == 1.25] > 0.5 * n_alarms


def test_alarms_beyond_the_highest_level_leave_those_below_what_they_are():
    peaks = np.random.default_rng(1).normal(1.0, 1.0, 3000)
    rates = rates_of(*peaks, *[20.0] * 9, hours=24.0)
    assert rates[LEVELS == 5.0] < 0.5


def test_a_flat_tail_makes_cautious():
    steep, flat = rates_of(*np.linspace(0.1, 1.0, 8)), rates_of(*np.linspace(0.1, 6.0, 8))
    assert flat[-1] > 1.5 * steep[-1]


@pytest.mark.parametrize(("hours", "more_than"), [(0.05, 5.0), (0.5, 1.5), (50.0, 1.005)])
def test_a_label_without_alarms_shares_the_rate_of_the_others_less_in_longer_recordings(hours, more_than):
    many, none = counted(np.linspace(0.1, 3.0, 15)), counted([])
    alone = expected_rates(LEVELS, np.array([none]), hours)[0]
    beside = expected_rates(LEVELS, np.array([none, many]), hours)[0]
    assert more_than < beside[8] / alone[8] < 20 * more_than


def test_a_low_threshold_that_joins_alarms_to_one_does_not_hide_them():
    n_alarms = counted(np.linspace(1.0, 2.0, 2 * N_TAIL_ALARMS))
    joined = n_alarms.copy()
    joined[:3] = 1
    both = expected_rates(LEVELS, np.array([n_alarms]), 1.0), expected_rates(LEVELS, np.array([joined]), 1.0)
    assert both[0].tolist() == both[1].tolist()
