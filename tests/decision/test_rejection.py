"""Each gate by itself, their order, and what reaches the automata."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streamgmm.decision.rejection import Verdict, decide, event_scores, screen

GATE_DBFS = -75.0
ALL_MAY = np.ones(3, dtype=bool)


def test_usable_hop_passes_the_screen():
    assert screen(-30.0, GATE_DBFS, is_finite=True) is None


@pytest.mark.parametrize(("level_dbfs", "is_silent"), [(-75.1, True), (-75.0, False), (-math.inf, True)])
def test_silence_is_below_the_gate(level_dbfs, is_silent):
    verdict = screen(level_dbfs, GATE_DBFS, is_finite=True)
    assert verdict == (Verdict("silence", 0.0, None, "silence") if is_silent else None)


def test_A17_vector_that_is_not_finite_is_unknown():
    assert screen(-30.0, GATE_DBFS, is_finite=False) == Verdict("unknown", 0.0, None, "nonfinite")


@pytest.mark.parametrize("level_dbfs", [math.nan, math.inf])
def test_A17_level_that_is_not_finite_is_unknown(level_dbfs):
    assert screen(level_dbfs, GATE_DBFS, is_finite=True) == Verdict("unknown", 0.0, None, "nonfinite")


def test_A14_silence_goes_before_numbers_that_are_not_finite():
    verdict = screen(-200.0, GATE_DBFS, is_finite=False)
    assert verdict is not None
    assert verdict.reject == "silence"


def test_best_label_wins_with_its_score_and_ratio():
    assert decide("door", 0.7, 2.5, 0.0, is_in_domain=True) == Verdict("door", 0.7, 2.5, None)


@pytest.mark.parametrize(("llr", "label"), [(1.9, "background"), (2.0, "door")])
def test_label_needs_its_ratio_to_the_background(llr, label):
    assert decide("door", 0.7, llr, 2.0, is_in_domain=True).label == label


def test_label_outside_its_domain_is_unknown():
    assert decide("door", 0.7, 5.0, 0.0, is_in_domain=False) == Verdict("unknown", 0.7, 5.0, "unknown")


def test_background_goes_before_unknown():
    assert decide("door", 0.7, -1.0, 0.0, is_in_domain=False).reject == "background"


def test_trained_reserved_label_answers_as_itself():
    assert decide("background", 0.7, 5.0, 0.0, is_in_domain=True) == Verdict("background", 0.7, 5.0, None)


def test_automata_get_zero_for_what_a_gate_refuses():
    posteriors, llrs = np.array([[0.4, 0.3, 0.2, 0.1]]), np.array([[1.0, -1.0, 1.0, 1.0]])
    are_in_domain = np.array([[True, True, False, True]])
    has_events = np.array([True, True, True, False])
    assert event_scores(posteriors, llrs, are_in_domain, 0.0, has_events).tolist() == [[0.4, 0.0, 0.0, 0.0]]


def test_ratio_that_is_just_enough_is_enough_for_the_automata_too():
    posteriors, llrs = np.array([[0.5, 0.3, 0.2]]), np.array([[2.0, 1.9, 2.0]])
    assert event_scores(posteriors, llrs, ALL_MAY[np.newaxis], 2.0, ALL_MAY).tolist() == [[0.5, 0.0, 0.2]]
