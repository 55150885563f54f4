"""Smoothers against plain loops, and the sticky model against the sum over every path of labels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamgmm.decision.smoothing import (
    LEAST_LOG_ODDS,
    ExponentialSmoother,
    NoSmoother,
    Smoother,
    StickyHmmSmoother,
    make_smoother,
)
from streamgmm.settings.decision import DecisionSection

N_LABELS = 3
HOP_S = 0.1


class Stream:
    """The state of one stream under a smoother."""

    def __init__(self, smoother: Smoother) -> None:
        self._smoother = smoother
        self._state = smoother.start

    def update(self, row: np.ndarray) -> np.ndarray:
        (prepared,) = self._smoother.prepare(row[np.newaxis])
        self._state = self._smoother.advance(self._state, prepared)
        (posteriors,) = self._smoother.posteriors(self._state[np.newaxis])
        return np.asarray(posteriors)


def each_smoother() -> list[Smoother]:
    return [
        NoSmoother(N_LABELS),
        ExponentialSmoother(HOP_S, 0.3, N_LABELS),
        StickyHmmSmoother(HOP_S, 0.5, N_LABELS),
    ]


contract = pytest.mark.parametrize("smoother", each_smoother(), ids=lambda smoother: type(smoother).__name__)
evidence = arrays(np.float64, (5, N_LABELS), elements=st.floats(-800.0, 800.0))


def softmax(log_posteriors: list[float]) -> list[float]:
    highest = max(log_posteriors)
    odds = [math.exp(value - highest) for value in log_posteriors]
    return [value / sum(odds) for value in odds]


def loop_exponential(rows: list[list[float]], hop_s: float, time_constant_s: float) -> list[float]:
    state = [0.0] * len(rows[0])
    kept = math.exp(-hop_s / time_constant_s)
    for row in rows:
        logs = [max(value - max(row), LEAST_LOG_ODDS) for value in row]
        state = [kept * old + (1.0 - kept) * new for old, new in zip(state, logs, strict=True)]
    return softmax(state)


def sum_over_paths(rows: list[list[float]], stay: float) -> list[float]:
    """Posterior of the last label: every path of labels, its probability multiplied out, added up."""
    n_labels = len(rows[0])
    totals = [0.0] * n_labels
    for path in itertools.product(range(n_labels), repeat=len(rows)):
        probability = 1.0 / n_labels
        for previous, following in itertools.pairwise(path):
            probability *= stay if previous == following else (1.0 - stay) / (n_labels - 1)
        for row, label in zip(rows, path, strict=True):
            probability *= math.exp(row[label])
        totals[path[-1]] += probability
    return [total / sum(totals) for total in totals]


@contract
@given(rows=evidence)
def test_posteriors_sum_to_one_and_are_never_negative(smoother, rows):
    stream = Stream(smoother)
    for row in rows:
        posteriors = stream.update(row)
        assert posteriors.shape == (N_LABELS,)
        assert posteriors.min() >= 0.0
        assert posteriors.sum() == pytest.approx(1.0, abs=1e-12)


@contract
def test_common_offset_of_the_evidence_does_not_matter(smoother):
    rows = np.random.default_rng(1).normal(size=(6, N_LABELS))
    plain, shifted = Stream(smoother), Stream(smoother)
    for row in rows:
        np.testing.assert_allclose(shifted.update(row + 1e4), plain.update(row), atol=1e-9)


@contract
@given(rows=evidence)
def test_rows_together_are_to_the_last_bit_those_of_each_alone(smoother, rows):
    stream = Stream(smoother)
    alone = [stream.update(row) for row in rows]
    state, states = smoother.start, []
    for prepared in smoother.prepare(rows):
        state = smoother.advance(state, prepared)
        states.append(state)
    np.testing.assert_array_equal(smoother.posteriors(np.array(states)), alone)


@contract
def test_no_state_is_written_to_again(smoother):
    kept = smoother.advance(smoother.start, smoother.prepare(np.array([[1.0, 0.0, 0.0]]))[0])
    copy, start = kept.copy(), smoother.start.copy()
    smoother.advance(kept, smoother.prepare(np.array([[0.0, 5.0, 0.0]]))[0])
    np.testing.assert_array_equal(kept, copy)
    np.testing.assert_array_equal(smoother.start, start)


def test_no_smoother_is_the_softmax():
    row = [0.3, -2.0, 1.0]
    np.testing.assert_allclose(Stream(NoSmoother(3)).update(np.array(row)), softmax(row))


@given(rows=arrays(np.float64, (6, N_LABELS), elements=st.floats(-30.0, 30.0)), time_constant_s=st.floats(0.01, 10.0))
def test_exponential_equals_the_plain_loop(rows, time_constant_s):
    smoother = Stream(ExponentialSmoother(HOP_S, time_constant_s, N_LABELS))
    for row in rows:
        posteriors = smoother.update(row)
    np.testing.assert_allclose(posteriors, loop_exponential(rows.tolist(), HOP_S, time_constant_s), atol=1e-12)


def test_exponential_has_gone_63_percent_of_the_way_after_its_time_constant():
    smoother = Stream(ExponentialSmoother(0.01, 1.0, 2))
    for _ in range(100):
        posteriors = smoother.update(np.array([4.0, 0.0]))
    assert math.log(posteriors[0] / posteriors[1]) == pytest.approx(4.0 * (1.0 - math.exp(-1.0)))


def test_exponential_passes_a_high_threshold_the_sooner_the_surer_a_sound_is():
    n_hops = []
    for odds_nat in (6.0, 8.0, 12.0):
        smoother = Stream(ExponentialSmoother(HOP_S, 0.25, 2))
        n_hops.append(next(n for n in range(1, 100) if smoother.update(np.array([odds_nat, 0.0]))[0] > 0.99))
    assert n_hops == sorted(set(n_hops), reverse=True)


def test_exponential_forgets_one_extreme_hop_like_any_other():
    smoother = Stream(ExponentialSmoother(HOP_S, 0.25, 2))
    smoother.update(np.array([1e9, 0.0]))
    for _ in range(round(2.0 / HOP_S)):
        posteriors = smoother.update(np.array([0.0, 2.0]))
    assert posteriors[1] > 0.85


def test_exponential_without_time_constant_smooths_nothing():
    row = np.array([0.3, -2.0, 1.0])
    smoother = Stream(ExponentialSmoother(HOP_S, 0.0, 3))
    smoother.update(-row)
    np.testing.assert_allclose(smoother.update(row), Stream(NoSmoother(3)).update(row), rtol=1e-14)


@given(
    rows=arrays(np.float64, (5, N_LABELS), elements=st.floats(-20.0, 20.0)),
    mean_duration_s=st.floats(2.0 * HOP_S, 100.0),
)
def test_hmm_equals_the_sum_over_all_paths(rows, mean_duration_s):
    smoother = Stream(StickyHmmSmoother(HOP_S, mean_duration_s, N_LABELS))
    for row in rows:
        posteriors = smoother.update(row)
    expected = sum_over_paths(rows.tolist(), stay=1.0 - HOP_S / mean_duration_s)
    np.testing.assert_allclose(posteriors, expected, atol=1e-9)


def test_hmm_needs_more_evidence_to_change_the_longer_its_stays():
    def after_one_contrary_hop(mean_duration_s: float) -> float:
        smoother = Stream(StickyHmmSmoother(HOP_S, mean_duration_s, 2))
        for _ in range(50):
            smoother.update(np.array([2.0, 0.0]))
        return float(smoother.update(np.array([0.0, 2.0]))[1])

    assert after_one_contrary_hop(10.0) < after_one_contrary_hop(1.0) < after_one_contrary_hop(0.2)


def test_hmm_recovers_within_hops_after_hours_of_one_label():
    smoother = Stream(StickyHmmSmoother(HOP_S, 2.0, 2))
    for _ in range(10_000):
        smoother.update(np.array([700.0, 0.0]))
    for _ in range(3):
        posteriors = smoother.update(np.array([0.0, 5.0]))
    assert posteriors[1] > 0.99


def test_hmm_that_is_shorter_than_a_hop_is_uniform_at_worst():
    row = np.array([0.3, -2.0, 1.0])
    smoother = Stream(StickyHmmSmoother(HOP_S, HOP_S / 10.0, 3))
    smoother.update(-row)
    np.testing.assert_allclose(smoother.update(row), softmax(row.tolist()))


@pytest.mark.parametrize("name", ["exponential", "hmm", "none"])
def test_single_label_is_always_certain(name):
    smoother = Stream(make_smoother(DecisionSection(smoothing=name), HOP_S, 1))
    assert smoother.update(np.array([-50.0])).tolist() == [1.0]


@pytest.mark.parametrize(
    ("name", "kind"), [("exponential", ExponentialSmoother), ("hmm", StickyHmmSmoother), ("none", NoSmoother)]
)
def test_configuration_chooses_the_smoother(name, kind):
    assert type(make_smoother(DecisionSection(smoothing=name), HOP_S, 2)) is kind


def test_configured_times_reach_the_smoother():
    rows = np.random.default_rng(3).normal(size=(4, 2))
    exponential = Stream(make_smoother(DecisionSection(smoothing="exponential", smoothing_s=0.7), HOP_S, 2))
    hmm = Stream(make_smoother(DecisionSection(smoothing="hmm", hmm_mean_duration_s=0.9), HOP_S, 2))
    for row in rows:
        smoothed, passed = exponential.update(row), hmm.update(row)
    np.testing.assert_allclose(smoothed, loop_exponential(rows.tolist(), HOP_S, 0.7))
    np.testing.assert_allclose(passed, sum_over_paths(rows.tolist(), stay=1.0 - HOP_S / 0.9))
