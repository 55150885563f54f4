from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.tuning.budget import Point, spend, upper_hull

POINTS = st.builds(
    lambda rate, utility: Point(float(rate), utility / 10.0, rate, 0, 0), st.integers(0, 12), st.integers(0, 10)
)
OFFERS = st.lists(st.lists(POINTS, min_size=1, max_size=5), min_size=1, max_size=4)


def point(rate, utility, n_alarms=0):
    return Point(rate, utility, n_alarms, 0, 0)


def total(points, name):
    return sum(getattr(point, name) for point in points)


@given(offers=OFFERS, rate=st.integers(0, 20), max_alarms=st.integers(0, 20))
def test_the_choice_is_within_the_budget_and_at_most_one_step_short_of_the_best(offers, rate, max_alarms):
    chosen = spend(offers, rate, max_alarms)
    allowed = [
        choice
        for choice in product(*offers)
        if total(choice, "rate_per_hour") <= rate and total(choice, "n_alarms") <= max_alarms
    ]
    if chosen is None:
        assert not allowed
        return
    assert chosen in [list(choice) for choice in allowed]
    best = max(total(choice, "utility") for choice in allowed)
    largest_step = max(max(p.utility for p in points) - min(p.utility for p in points) for points in offers)
    assert total(chosen, "utility") >= best - largest_step - 1e-9


@given(st.lists(POINTS, min_size=1, max_size=8))
def test_a_hull_holds_the_cheapest_and_the_best_and_bends_one_way(points):
    hull = upper_hull(points)
    assert hull[0].rate_per_hour == min(p.rate_per_hour for p in points)
    assert hull[-1].utility == max(p.utility for p in points)
    gains = [(b.utility - a.utility) / (b.rate_per_hour - a.rate_per_hour) for a, b in pairwise(hull)]
    assert all(before > after > 0 for before, after in pairwise(gains))


def test_the_label_whose_recall_costs_fewest_alarms_gets_them():
    cheap, dear = point(1.0, 0.9), point(1.0, 0.5)
    strict = point(0.0, 0.0)
    assert spend([[strict, dear], [strict, cheap]], 1.0, 99) == [strict, cheap]


def test_what_is_left_goes_to_a_smaller_step():
    strict, middle, loose = point(0.0, 0.0), point(1.0, 0.1), point(3.0, 0.9)
    assert spend([[strict, middle, loose]], 1.5, 99) == [middle]


def test_a_budget_below_the_strictest_cannot_be_met():
    assert spend([[point(2.0, 1.0)], [point(1.0, 1.0)]], 2.9, 99) is None
    assert spend([[point(0.1, 1.0, n_alarms=1)]], 1.0, 0) is None


def test_alarms_counted_bind_even_if_few_are_expected():
    strict, loose = point(0.0, 0.0), point(0.5, 1.0, n_alarms=3)
    assert spend([[strict, loose]], 1.0, 2) == [strict]
    assert spend([[strict, loose]], 1.0, 3) == [loose]


@pytest.mark.parametrize("utility", [0.2, 0.8])
def test_a_label_without_alarms_gets_the_highest_utility(utility):
    assert spend([[point(0.0, utility), point(0.0, 1.0), point(0.0, 0.1)]], 0.5, 0) == [point(0.0, 1.0)]
