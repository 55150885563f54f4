"""A background that is no label takes its share of the posteriors, and none of the names."""

from __future__ import annotations

import numpy as np
import pytest

from streamgmm.decision.bayes import BayesRule
from streamgmm.decision.clip import ClipDecider
from streamgmm.decision.hop_scores import HopScores
from streamgmm.decision.judge import Judge
from streamgmm.settings.decision import DecisionSection

LABELS = ("bark", "door")
SECTION = DecisionSection(smoothing="none", min_llr=-1e6)


def hop(bark: float, door: float, background: float, end_sample: int = 100) -> HopScores:
    scores = np.array([bark, door])
    return HopScores(
        end_sample=end_sample,
        level_dbfs=-20.0,
        log_likelihoods=scores,
        llrs=scores - background,
        is_in_domain=np.ones(2, dtype=bool),
        levels_db=np.zeros(0),
        background_log_likelihood=background,
    )


def rule(*, competes: bool, log_prior: float = 0.0) -> BayesRule:
    return BayesRule(LABELS, np.array([0.0, 0.0, log_prior][: 2 + competes]), 1.0)


def test_posteriors_of_labels_leave_the_share_of_the_background():
    found = Judge(rule(competes=True), SECTION, 0.1).update(hop(2.0, 0.0, 1.0))
    exponentials = np.exp([2.0, 0.0, 1.0])
    np.testing.assert_allclose(found.posteriors, exponentials[:2] / exponentials.sum())
    np.testing.assert_allclose(found.scores, found.posteriors)


def test_without_it_the_background_only_gates():
    found = Judge(rule(competes=False), SECTION, 0.1).update(hop(2.0, 0.0, 50.0))
    assert found.posteriors.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("smoothing", ["exponential", "hmm", "none"])
def test_a_background_that_wins_leaves_no_score_however_it_is_smoothed(smoothing):
    judge = Judge(rule(competes=True), DecisionSection(smoothing=smoothing), 0.1)
    for i in range(30):
        found = judge.update(hop(3.0, 0.0, 30.0, 100 * (i + 1)))
    assert found.posteriors.shape == (2,)
    assert found.posteriors.sum() < 0.01
    assert found.verdict.reject == "background"


def test_its_prior_weighs():
    shares = [
        Judge(rule(competes=True, log_prior=prior), SECTION, 0.1).update(hop(0.0, 0.0, 0.0)).posteriors.sum()
        for prior in (-5.0, 0.0, 5.0)
    ]
    assert shares == sorted(shares, reverse=True)


def test_a_clip_is_answered_by_a_label_or_unknown_but_never_by_such_a_background():
    decider = ClipDecider(rule(competes=True), -75.0)
    decider.add(hop(0.0, -3.0, 20.0))
    decision = decider.decide()
    assert decision.label == "bark"
    assert sum(decision.posteriors.values()) == pytest.approx(1.0)
    # How well the background fits tells that the clip is of no label.
    assert decision.in_domain_score < 0.01
    decider.reset()
    decider.add(hop(0.0, -3.0, -20.0))
    assert decider.decide().in_domain_score > 0.5


def test_numbers_that_are_not_finite_are_rejected_before_the_posteriors():
    nan = float("nan")
    found = Judge(rule(competes=True), SECTION, 0.1).update(hop(nan, nan, nan))
    assert found.verdict.reject == "nonfinite"
