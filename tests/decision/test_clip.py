from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.decision.bayes import BayesRule
from streamgmm.decision.clip import (
    IN_DOMAIN_SOFTNESS,
    IN_DOMAIN_STEEPNESS,
    LOG_ODDS_PER_DEVIATION,
    ClipDecider,
    TypicalLikelihoods,
    in_domain_probability,
    in_domain_scores,
    sharpened,
)
from streamgmm.decision.hop_scores import HopScores
from streamgmm.model.classifier import ClipCalibration

NOTHING = np.zeros(0)


def make_hop(log_likelihoods: list[float], *, level_dbfs: float = -20.0) -> HopScores:
    scores = np.array(log_likelihoods, dtype=np.float64)
    return HopScores(1, level_dbfs, scores, scores, np.ones(len(scores), dtype=bool), NOTHING)


def decider(
    log_priors: tuple[float, float] = (0.0, 0.0), scale: float = 1.0, labels: Sequence[str] = ("a", "b"), **calibration
) -> ClipDecider:
    return ClipDecider(BayesRule(tuple(labels), np.array(log_priors), scale), -75.0, ClipCalibration(**calibration))


def test_a_clip_is_the_mean_of_its_windows() -> None:
    voting = decider()
    voting.add(make_hop([0.0, np.log(3.0)]))
    voting.add(make_hop([np.log(9.0), 0.0]))
    decision = voting.decide()
    assert decision.label == "a"
    assert decision.scores == pytest.approx({"a": (0.25 + 0.9) / 2, "b": (0.75 + 0.1) / 2})
    assert decision.score == pytest.approx(decision.scores["a"])
    assert decision.n_windows == 2


def test_a_window_that_has_heard_little_counts_little() -> None:
    voting = decider()
    voting.add(make_hop([0.0, np.log(3.0)])._replace(window_share=0.5))
    voting.add(make_hop([np.log(9.0), 0.0]))
    assert voting.decide().scores == pytest.approx({"a": (0.25 * 0.25 + 0.9) / 1.25, "b": (0.25 * 0.75 + 0.1) / 1.25})


def test_a_window_that_is_twice_as_loud_counts_twice_at_any_gain() -> None:
    for gain_db in (0.0, -20.0):
        voting = decider()
        voting.add(make_hop([0.0, np.log(3.0)])._replace(window_level_dbfs=gain_db))
        voting.add(make_hop([np.log(9.0), 0.0])._replace(window_level_dbfs=gain_db - 20.0 * np.log10(2.0)))
        assert voting.decide().scores["a"] == pytest.approx((2 * 0.25 + 0.9) / 3)


def test_priors_and_scale_count() -> None:
    voting = decider(log_priors=(0.0, np.log(4.0)), scale=0.5)
    voting.add(make_hop([2 * np.log(2.0), 0.0]))
    assert voting.decide().scores == pytest.approx({"a": 1 / 3, "b": 2 / 3})


def test_silent_windows_have_no_vote_and_a_silent_clip_is_silence() -> None:
    voting = decider()
    voting.add(make_hop([0.0, 9.0], level_dbfs=-75.1))
    assert voting.decide().label == "silence"
    assert voting.decide().score == 0.0
    voting.add(make_hop([9.0, 0.0]))
    assert voting.decide().label == "a"
    assert voting.decide().n_windows == 1


def test_A17_a_clip_of_nothing_finite_is_unknown() -> None:
    voting = decider()
    voting.add(make_hop([np.nan, np.nan]))
    assert voting.decide().label == "unknown"


@given(st.floats(0.01, 0.99), st.floats(0.1, 10.0))
def test_sharpness_is_an_exponent_on_the_votes(share: float, sharpness: float) -> None:
    voting = decider(sharpness=sharpness)
    voting.add(make_hop([np.log(share), np.log(1.0 - share)]))
    expected = share**sharpness / (share**sharpness + (1.0 - share) ** sharpness)
    assert voting.decide().scores["a"] == pytest.approx(expected)


def test_sharpening_leaves_zeros_and_ones_alone() -> None:
    rows = np.array([[0.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert sharpened(rows, 3.0).tolist() == rows.tolist()


SOFT = 3.0**IN_DOMAIN_SOFTNESS / (3.0**IN_DOMAIN_SOFTNESS + 1.0)


@pytest.mark.parametrize(("least", "label"), [(SOFT - 0.01, "a"), (SOFT + 0.01, "unknown")])
def test_a_clip_that_is_not_known_well_enough_is_unknown(least: float, label: str) -> None:
    voting = decider(min_in_domain_score=least)
    voting.add(make_hop([np.log(3.0), 0.0]))
    decision = voting.decide()
    assert decision.label == label
    assert decision.in_domain_score == pytest.approx(SOFT)
    assert decision.score == pytest.approx(0.75 * in_domain_probability(SOFT, least))
    assert decision.posteriors == pytest.approx({"a": 0.75, "b": 0.25})


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.5, 20.0), st.floats(-5.0, 5.0))
def test_a_clip_scores_no_higher_than_it_is_known(least: float, prior: float, sharpness: float, ratio: float) -> None:
    voting = decider((prior, 0.0), labels=("a", "b"), min_in_domain_score=least, sharpness=sharpness)
    voting.add(make_hop([ratio, 0.0]))
    decision = voting.decide()
    assert decision.score <= decision.in_domain_probability
    assert sum(decision.scores.values()) == pytest.approx(decision.in_domain_probability)
    if decision.in_domain_probability > 1e-12:  # else all scores are zero
        best = max(decision.posteriors, key=decision.posteriors.__getitem__)
        assert decision.scores[best] == max(decision.scores.values())


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_a_clip_is_unknown_where_it_is_more_likely_unknown_than_known(knownness: float, least: float) -> None:
    known = in_domain_probability(knownness, least)
    assert 0.0 <= known <= 1.0
    if abs(knownness - least) > 1e-6:
        assert (known > 0.5) == (knownness > least)
    odds = (knownness / (1.0 - knownness) / (least / (1.0 - least))) ** IN_DOMAIN_STEEPNESS
    assert known == pytest.approx(odds / (1.0 + odds))


@pytest.mark.parametrize(
    ("knownness", "least", "known"),
    [(0.5, 0.0, 1.0), (0.0, 0.0, 1.0), (0.5, 1.0, 0.0), (1.0, 1.0, 1.0), (0.0, 0.5, 0.0), (1.0, 0.5, 1.0)],
)
def test_at_the_ends_a_clip_is_known_or_it_is_not(knownness: float, least: float, known: float) -> None:
    assert in_domain_probability(knownness, least) == known


def test_a_background_is_itself_however_little_is_known() -> None:
    voting = decider(labels=("a", "background"), min_in_domain_score=0.5)
    voting.add(make_hop([0.0, np.log(3.0)]))
    assert voting.decide().label == "background"
    assert voting.decide().in_domain_score == pytest.approx(1.0 - SOFT)
    assert voting.decide().score == pytest.approx(0.75)
    voting.reset()
    voting.add(make_hop([np.log(3.0), 0.0]))
    assert voting.decide().label == "a"


def test_where_all_labels_are_reserved_nothing_is_known() -> None:
    voting = decider(labels=("silence", "background"), min_in_domain_score=0.5)
    voting.add(make_hop([0.0, np.log(3.0)]))
    assert (voting.decide().label, voting.decide().in_domain_score) == ("background", 0.0)


@pytest.mark.parametrize(("deviations", "counted"), [(0.0, 0.0), (-1.0, -1.0), (1.5, 1.5), (-50.0, -2.0), (50.0, 2.0)])
def test_a_clip_less_likely_than_its_label_usually_is_is_less_known(deviations: float, counted: float) -> None:
    voting = decider(typical=(-40.0, 1e9), typical_deviation=5.0)
    own = -40.0 + 5.0 * deviations
    voting.add(make_hop([own, own - np.log(3.0)]))
    expected = np.log(SOFT / (1.0 - SOFT)) + LOG_ODDS_PER_DEVIATION * counted
    assert voting.decide().in_domain_score == pytest.approx(1.0 / (1.0 + np.exp(-expected)))


def test_what_is_typical_may_be_a_ratio_to_the_background() -> None:
    voting = decider(typical=(4.0, 1e9), typical_deviation=5.0, typical_are_ratios=True)
    hop = make_hop([-40.0, -40.0 - np.log(3.0)])
    # Far more likely than the background, and so 1.5 deviations above what is typical.
    voting.add(hop._replace(llrs=np.array([11.5, 11.5 - np.log(3.0)])))
    expected = np.log(SOFT / (1.0 - SOFT)) + LOG_ODDS_PER_DEVIATION * 1.5
    assert voting.decide().in_domain_score == pytest.approx(1.0 / (1.0 + np.exp(-expected)))


def test_one_clip_and_many_are_known_alike() -> None:
    rng = np.random.default_rng(0)
    soft, scores = rng.dirichlet(np.ones(3), size=20), rng.normal(-40.0, 9.0, (20, 3))
    is_label, typical = np.array([True, False, True]), TypicalLikelihoods(np.array([-40.0, 0.0, -42.0]), 4.0)
    together = in_domain_scores(soft, scores, is_label, typical)
    assert together.tolist() == [
        float(in_domain_scores(*row, is_label, typical)) for row in zip(soft, scores, strict=True)
    ]
    assert in_domain_scores(np.eye(3)[0], scores[0], is_label, typical) == 1.0


def test_reset_begins_a_new_clip() -> None:
    voting = decider()
    voting.add(make_hop([9.0, 0.0]))
    voting.reset()
    assert voting.decide().label == "silence"
