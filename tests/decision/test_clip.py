from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.decision.clip import MIN_KNOWNNESS, ClipDecider
from streamgmm.decision.frame import Frame

NOTHING = np.zeros(0)


def frame(log_likelihoods: list[float], *, level_dbfs: float = -20.0, is_in_domain: bool = True) -> Frame:
    scores = np.array(log_likelihoods, dtype=np.float64)
    return Frame(1, level_dbfs, scores, scores, np.full(len(scores), is_in_domain), NOTHING)


def decider(log_priors: tuple[float, float] = (0.0, 0.0), scale: float = 1.0) -> ClipDecider:
    return ClipDecider(("a", "b"), silence_gate_dbfs=-75.0, log_priors=np.array(log_priors), likelihood_scale=scale)


def test_a_clip_is_the_mean_of_its_windows() -> None:
    voting = decider()
    voting.add(frame([0.0, np.log(3.0)]))
    voting.add(frame([np.log(9.0), 0.0]))
    decision = voting.decide()
    assert decision.label == "a"
    assert decision.scores == pytest.approx({"a": (0.25 + 0.9) / 2, "b": (0.75 + 0.1) / 2})
    assert decision.score == pytest.approx(decision.scores["a"])
    assert decision.n_windows == 2


def test_a_window_that_has_heard_little_counts_little() -> None:
    voting = decider()
    voting.add(frame([0.0, np.log(3.0)])._replace(window_share=0.5))
    voting.add(frame([np.log(9.0), 0.0]))
    assert voting.decide().scores == pytest.approx({"a": (0.25 * 0.25 + 0.9) / 1.25, "b": (0.25 * 0.75 + 0.1) / 1.25})


def test_priors_and_scale_count() -> None:
    voting = decider(log_priors=(0.0, np.log(4.0)), scale=0.5)
    voting.add(frame([2 * np.log(2.0), 0.0]))
    assert voting.decide().scores == pytest.approx({"a": 1 / 3, "b": 2 / 3})


def test_silent_windows_have_no_vote_and_a_silent_clip_is_silence() -> None:
    voting = decider()
    voting.add(frame([0.0, 9.0], level_dbfs=-75.1))
    assert voting.decide().label == "silence"
    assert voting.decide().score == 0.0
    voting.add(frame([9.0, 0.0]))
    assert voting.decide().label == "a"
    assert voting.decide().n_windows == 1


def test_A17_a_clip_of_nothing_finite_is_unknown() -> None:
    voting = decider()
    voting.add(frame([np.nan, np.nan]))
    assert voting.decide().label == "unknown"


@pytest.mark.parametrize(("n_in", "n_out", "label"), [(2, 2, "a"), (2, 3, "unknown"), (3, 2, "a")])
def test_a_clip_that_is_mostly_out_of_domain_is_unknown(n_in: int, n_out: int, label: str) -> None:
    voting = decider()
    for _ in range(n_in):
        voting.add(frame([5.0, 0.0]))
    for _ in range(n_out):
        voting.add(frame([5.0, 0.0], is_in_domain=False))
    assert voting.decide().label == label


def test_reset_begins_a_new_clip() -> None:
    voting = decider()
    voting.add(frame([9.0, 0.0]))
    voting.reset()
    assert voting.decide().label == "silence"


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_what_makes_a_clip_unknown_is_its_knownness(flags: list[bool]) -> None:
    voting = decider()
    for is_in_domain in flags:
        voting.add(frame([5.0, 0.0], is_in_domain=is_in_domain))
    decision = voting.decide()
    assert decision.knownness == pytest.approx(sum(flags) / len(flags))
    assert (decision.label == "unknown") == (decision.knownness < MIN_KNOWNNESS)
