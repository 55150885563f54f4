from __future__ import annotations

import numpy as np
import pytest

from streamgmm.decision.judge import Judge
from streamgmm.settings.decision import DecisionSection
from tests.decision.decider_streams import BARK, DOOR, LABELS, NOTHING, PLAIN, make_hop


def make_judge(section=PLAIN, log_priors=(0.0, 0.0, 0.0), likelihood_scale=1.0):
    return Judge(LABELS, section, hop_s=0.1, log_priors=np.array(log_priors), likelihood_scale=likelihood_scale)


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
    assert (verdict.reject, posteriors.any(), scores.any()) == (reject, False, False)


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
