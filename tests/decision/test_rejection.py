"""Each gate by itself, their order, and what reaches the automata."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from streamgmm.decision.hop_scores import HopScores
from streamgmm.decision.rejection import GATES, Verdict, decide, event_scores, screen

LABELS = ("bark", "door", "background")
GATE_DBFS = -75.0


def make_hop(*, level_dbfs=-30.0, log_likelihoods=(0.0, 0.0, 0.0), llrs=(5.0, 5.0, 5.0), is_in_domain=(1, 1, 1)):
    return HopScores(
        end_sample=100,
        level_dbfs=level_dbfs,
        log_likelihoods=np.array(log_likelihoods),
        llrs=np.array(llrs),
        is_in_domain=np.array(is_in_domain, dtype=bool),
        levels_db=np.empty(0),
    )


def verdict_of(posteriors, hop, min_llr=0.0):
    return decide(LABELS, np.array(posteriors), hop, min_llr)


def test_usable_hop_passes_the_screen():
    assert screen(make_hop(), GATE_DBFS) is None


@pytest.mark.parametrize(("level_dbfs", "is_silent"), [(-75.1, True), (-75.0, False), (-math.inf, True)])
def test_silence_is_below_the_gate(level_dbfs, is_silent):
    verdict = screen(make_hop(level_dbfs=level_dbfs), GATE_DBFS)
    assert verdict == (Verdict("silence", 0.0, None, "silence") if is_silent else None)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["log_likelihoods", "llrs"])
def test_A17_vector_that_is_not_finite_is_unknown(field, bad):
    verdict = screen(make_hop(**{field: (0.0, bad, 0.0)}), GATE_DBFS)
    assert verdict == Verdict("unknown", 0.0, None, "nonfinite")


@pytest.mark.parametrize("level_dbfs", [math.nan, math.inf])
def test_A17_level_that_is_not_finite_is_unknown(level_dbfs):
    verdict = screen(make_hop(level_dbfs=level_dbfs), GATE_DBFS)
    assert verdict == Verdict("unknown", 0.0, None, "nonfinite")


def test_A14_silence_goes_before_numbers_that_are_not_finite():
    verdict = screen(make_hop(level_dbfs=-200.0, log_likelihoods=(math.nan,) * 3), GATE_DBFS)
    assert verdict is not None
    assert verdict.reject == "silence"


def test_best_label_wins_with_its_score_and_ratio():
    assert verdict_of([0.2, 0.7, 0.1], make_hop(llrs=(1.0, 2.5, 3.0))) == Verdict("door", 0.7, 2.5, None)


@pytest.mark.parametrize(("llr", "label"), [(1.9, "background"), (2.0, "door")])
def test_label_needs_its_ratio_to_the_background(llr, label):
    assert verdict_of([0.2, 0.7, 0.1], make_hop(llrs=(9.0, llr, 9.0)), min_llr=2.0).label == label


def test_label_outside_its_domain_is_unknown():
    hop = make_hop(is_in_domain=(1, 0, 1))
    assert verdict_of([0.2, 0.7, 0.1], hop) == Verdict("unknown", 0.7, 5.0, "unknown")


def test_background_goes_before_unknown():
    hop = make_hop(llrs=(0.0, -1.0, 0.0), is_in_domain=(0, 0, 0))
    assert verdict_of([0.2, 0.7, 0.1], hop).reject == "background"


def test_trained_reserved_label_answers_as_itself():
    assert verdict_of([0.2, 0.1, 0.7], make_hop()) == Verdict("background", 0.7, 5.0, None)


def test_automata_get_zero_for_what_a_gate_refuses():
    posteriors = np.array([0.4, 0.3, 0.2, 0.1])
    hop = make_hop(llrs=(1.0, -1.0, 1.0, 1.0), is_in_domain=(1, 1, 0, 1))
    is_reserved = np.array([False, False, False, True])
    assert event_scores(posteriors[np.newaxis], [hop], 0.0, is_reserved).tolist() == [[0.4, 0.0, 0.0, 0.0]]


def test_ratio_that_is_just_enough_is_enough_for_the_automata_too():
    hop = make_hop(llrs=(2.0, 1.9, 2.0))
    assert event_scores(np.array([[0.5, 0.3, 0.2]]), [hop], 2.0, np.zeros(3, dtype=bool)).tolist() == [[0.5, 0.0, 0.2]]


def test_gates_are_asked_in_the_order_told():
    """A hop that no gate lets through, then cured of what each complained of."""
    hop = make_hop(level_dbfs=-90.0, log_likelihoods=(np.nan, 0.0, 0.0), llrs=(-1.0, 0.0, 0.0), is_in_domain=(0, 1, 1))
    cures: list[dict[str, Any]] = [
        {"level_dbfs": -30.0},
        {"log_likelihoods": np.zeros(3)},
        {"llrs": np.ones(3)},
        {"is_in_domain": np.ones(3)},
    ]
    told = []
    for cure in cures:
        verdict = screen(hop, GATE_DBFS) or verdict_of((0.8, 0.1, 0.1), hop)
        told.append(verdict.reject)
        hop = hop._replace(**cure)
    assert tuple(told) == GATES
    assert verdict_of((0.8, 0.1, 0.1), hop).reject is None
