"""Rises and falls against a quadratic search that sums everything at each split."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.decision.change_point import LevelHistory, fall, rise

QUIET, LOUD = -60.0, -20.0
# Whole decibels, so that the oracle's sums and the fast ones are both exact and ties are true ties.
level_lists = st.lists(st.integers(-80, 0), min_size=0, max_size=40)


def slow_rise(levels_db: list[float], min_change_db: float = 3.0) -> int | None:
    best, best_statistic = None, -math.inf
    for i in range(1, len(levels_db)):
        before, after = levels_db[:i], levels_db[i:]
        change_db = statistics.fmean(after) - statistics.fmean(before)
        statistic = math.sqrt(len(before) * len(after) / len(levels_db)) * change_db
        if statistic > best_statistic + 1e-9:
            best, best_statistic, best_change_db = i, statistic, change_db
    return best if best is not None and best_change_db >= min_change_db else None


def statistic_at(levels_db: list[float], i: int) -> float:
    change_db = statistics.fmean(levels_db[i:]) - statistics.fmean(levels_db[:i])
    return math.sqrt(i * (len(levels_db) - i) / len(levels_db)) * change_db


@given(levels_db=level_lists)
def test_rise_is_as_likely_as_the_one_of_the_slow_search(levels_db):
    fast, slow = rise(np.array(levels_db, dtype=float)), slow_rise(levels_db)
    # Equally likely splits may differ by rounding; their statistics may not.
    if fast is None or slow is None:
        assert fast == slow or abs(slow_change(levels_db) - 3.0) < 1e-6
    else:
        assert statistic_at(levels_db, fast) == pytest.approx(statistic_at(levels_db, slow), abs=1e-6)


def slow_change(levels_db: list[float]) -> float:
    i = slow_rise(levels_db, min_change_db=-math.inf)
    return math.inf if i is None else statistics.fmean(levels_db[i:]) - statistics.fmean(levels_db[:i])


@given(levels_db=level_lists)
def test_fall_is_the_rise_of_the_levels_turned_over(levels_db):
    levels = np.array(levels_db, dtype=float)
    assert fall(levels) == rise(-levels)


@pytest.mark.parametrize("n_before", [1, 2, 17, 89])
def test_jump_is_found_where_it_is(n_before):
    levels = np.array([QUIET] * n_before + [LOUD] * (90 - n_before))
    assert rise(levels) == n_before
    assert fall(levels) is None
    assert fall(-levels) == n_before


def test_short_sound_between_quiet_stretches_has_both_its_ends():
    levels = np.array([QUIET] * 40 + [LOUD] * 20 + [QUIET] * 30)
    assert rise(levels) == 40
    assert fall(levels) == 60


def test_jump_in_noise_is_found_within_two_levels():
    rng = np.random.default_rng(5)
    for _ in range(100):
        n_before = int(rng.integers(10, 80))
        levels = rng.normal(0.0, 2.0, 90) + np.where(np.arange(90) < n_before, QUIET, QUIET + 12.0)
        found = rise(levels)
        assert found is not None
        assert abs(found - n_before) <= 2


@pytest.mark.parametrize(("step_db", "expected"), [(2.9, None), (3.0, 5)])
def test_change_that_is_too_small_is_none(step_db, expected):
    assert rise(np.array([0.0] * 5 + [step_db] * 5)) == expected


@pytest.mark.parametrize("levels_db", [[], [LOUD], [LOUD] * 50])
def test_without_change_there_is_none(levels_db):
    assert rise(np.array(levels_db, dtype=float)) is None
    assert fall(np.array(levels_db, dtype=float)) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_A17_levels_that_are_not_finite_tell_nothing(bad):
    levels = np.array([QUIET] * 5 + [bad] + [LOUD] * 5)
    assert rise(levels) is None
    assert fall(levels) is None


def history_of(levels_db: list[float], *, hop_levels: int = 4, start_sample: int = 0, n_levels: int = 100):
    history = LevelHistory(n_levels, level_samples=10, floor_dbfs=-75.0)
    for i in range(0, len(levels_db), hop_levels):
        hop = np.array(levels_db[i : i + hop_levels], dtype=float)
        history.append(hop, start_sample + (i + len(hop)) * 10)
    return history


@pytest.mark.parametrize("hop_levels", [1, 4, 7, 40])
def test_history_knows_the_position_whatever_the_hop(hop_levels):
    levels_db = [QUIET] * 13 + [LOUD] * 15 + [QUIET] * 12
    history = history_of(levels_db, hop_levels=hop_levels, start_sample=5000)
    assert history.last_rise_sample() == 5130
    assert history.last_fall_sample(onset_sample=5130) == 5280


def test_history_forgets_what_is_older_than_its_length():
    assert history_of([QUIET] * 20 + [LOUD] * 20, n_levels=20).last_rise_sample() is None
    assert history_of([QUIET] * 20 + [LOUD] * 20, n_levels=21).last_rise_sample() == 200


def test_fall_before_the_onset_does_not_count():
    history = history_of([LOUD] * 20 + [QUIET] * 10 + [LOUD] * 10)
    assert history.last_fall_sample(onset_sample=0) == 200
    assert history.last_fall_sample(onset_sample=200) is None
    assert history.last_fall_sample(onset_sample=9999) is None


def test_history_starts_afresh_where_levels_do_not_adjoin():
    history = history_of([QUIET] * 20)
    history.append(np.full(20, LOUD), 900)
    assert history.last_rise_sample() is None


def test_clear_forgets_the_levels():
    history = history_of([QUIET] * 20)
    history.clear()
    history.append(np.full(20, LOUD), 400)
    assert history.last_rise_sample() is None


def test_digital_silence_before_noise_is_no_onset():
    history = history_of([-200.0] * 20 + [-74.0] * 20 + [-60.0] * 20)
    assert history.last_rise_sample() == 400


def test_levels_are_copied():
    levels = np.array([QUIET] * 10 + [LOUD] * 10)
    history = LevelHistory(100, level_samples=10, floor_dbfs=-75.0)
    history.append(levels, 200)
    levels[:] = QUIET
    assert history.last_rise_sample() == 100
