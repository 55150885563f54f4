from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamgmm.decision.rejection import GATES
from streamgmm.settings.decision import DecisionSection
from tests.decision.decider_streams import BARK, DOOR, NOTHING, make_hop, make_judge


def test_scores_are_the_posteriors_of_labels_that_may_make_events():
    verdict, posteriors, scores = make_judge().update(make_hop(0, BARK))
    odds = np.exp(BARK)
    assert posteriors == pytest.approx(odds / odds.sum())
    assert scores.tolist() == [posteriors[0], posteriors[1], 0.0]
    assert (verdict.label, verdict.reject) == ("bark", None)


def test_scale_and_priors_weigh_in():
    _, posteriors, _ = make_judge(log_priors=(0.0, 2.0, 0.0), likelihood_scale=0.5).update(make_hop(0, BARK))
    odds = np.exp([2.5, 2.0, 0.0])
    assert posteriors == pytest.approx(odds / odds.sum())


@pytest.mark.parametrize(
    ("changes", "reject"),
    [({"level_dbfs": -90.0}, "silence"), ({"llrs": [np.nan, 0.0, 0.0]}, "nonfinite")],
)
def test_what_is_not_scored_is_worth_zeros(changes, reject):
    verdict, posteriors, scores = make_judge().update(make_hop(0, BARK, **changes))
    assert verdict.reject == reject
    assert not posteriors.any()
    assert not scores.any()


def test_a_label_out_of_its_domain_has_no_score_but_its_posterior():
    _, posteriors, scores = make_judge().update(make_hop(0, BARK, is_in_domain=[False, True, True]))
    assert (posteriors[0] > 0.9, scores[0]) == (True, 0.0)


@pytest.mark.parametrize("forget", ["silence", "reset"])
def test_silence_and_reset_start_the_smoother_afresh(forget):
    section = DecisionSection(smoothing_s=1.0)
    judge, fresh = make_judge(section), make_judge(section)
    for i_hop in range(20):
        judge.update(make_hop(i_hop, DOOR))
    if forget == "reset":
        judge.reset()
    else:
        judge.update(make_hop(20, NOTHING, level_dbfs=-120.0))
    assert judge.update(make_hop(21, BARK)).scores.tolist() == fresh.update(make_hop(0, BARK)).scores.tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_A17_one_number_that_is_not_finite_refuses_its_hop_alone(bad):
    judge, undisturbed = make_judge(), make_judge()
    numbers = np.array([0.0, bad, 0.0])
    hops = [make_hop(0, BARK), make_hop(1, numbers, llrs=numbers), make_hop(2, DOOR)]
    verdicts = [judgement.verdict.reject for judgement in judge.update_stack([judge] * 3, hops)]
    assert verdicts == [None, "nonfinite", None]
    undisturbed.update_stack([undisturbed] * 2, [hops[0], hops[2]])
    assert judge.update(make_hop(3, BARK)).scores.tolist() == undisturbed.update(make_hop(3, BARK)).scores.tolist()


@pytest.mark.parametrize("smoothing", ["exponential", "hmm", "none"])
def test_hops_of_one_stream_together_are_judged_as_each_alone(smoothing):
    rng = np.random.default_rng(4)
    section = DecisionSection(smoothing=smoothing)
    levels = rng.choice([-30.0, -120.0, np.nan], size=40, p=[0.7, 0.2, 0.1])
    hops = [
        make_hop(i, rng.normal(scale=4.0, size=3), level_dbfs=float(level), is_in_domain=rng.random(3) > 0.2)
        for i, level in enumerate(levels)
    ]
    alone, together = make_judge(section), make_judge(section)
    for found, hop in zip(together.update_stack([together] * len(hops), hops), hops, strict=True):
        expected = alone.update(hop)
        assert found.verdict == expected.verdict
        np.testing.assert_array_equal(found.posteriors, expected.posteriors)
        np.testing.assert_array_equal(found.scores, expected.scores)


def test_gates_are_asked_in_the_order_told():
    """A hop that no gate lets through, then cured of what each complained of."""
    hop = make_hop(0, BARK, level_dbfs=-90.0, llrs=[np.nan, 0.0, 0.0], is_in_domain=[False, True, True])
    cures: list[dict[str, Any]] = [
        {"level_dbfs": -30.0},
        {"llrs": np.array([-1.0, 0.0, 0.0])},
        {"llrs": np.ones(3)},
        {"is_in_domain": np.ones(3, dtype=bool)},
    ]
    told = []
    for cure in cures:
        told.append(make_judge().update(hop).verdict.reject)
        hop = hop._replace(**cure)
    assert tuple(told) == GATES
    assert make_judge().update(hop).verdict.reject is None
