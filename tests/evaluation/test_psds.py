"""The polyphonic sound detection score, compared with psds_eval."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from streamgmm.dataset.listing import Segment
from streamgmm.evaluation.psds import Tally, psds, tally
from streamgmm.evaluation.scenes import without_overlaps
from tests.listening.event_strategies import DURATION_S, found_at, found_events, true_at, true_events
from tests.required import oracle

COLUMNS = ["filename", "onset", "offset", "event_label"]


@pytest.fixture(autouse=True)
def psds_eval_of_today(monkeypatch):
    """psds_eval takes int() of arrays of one element, which numpy rejects since 2.4."""
    monkeypatch.setattr(oracle("psds_eval.psds"), "int", lambda value: np.asarray(value).item(), raising=False)


def table(events):
    return oracle("pandas").DataFrame([("a", e.onset_s, e.offset_s, e.label) for e in events], columns=COLUMNS)


def apart(events):
    """Detections without overlaps within a label, as a stream reports them."""
    return [found_at(*event) for event in without_overlaps(map(as_stretch, events))]


def as_stretch(event):
    return Segment(event.label, event.onset_s, event.offset_s)


def of_label(events, label):
    return [event for event in events if event.label == label]


def by_psds_eval(truth, points, max_false_per_hour):
    metadata = oracle("pandas").DataFrame({"filename": ["a"], "duration": [DURATION_S]})
    theirs = oracle("psds_eval").PSDSEval(0.5, 0.5, 0.3, ground_truth=table(truth), metadata=metadata)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for found in points:
            theirs.add_operating_point(table(found))
        return theirs, theirs.psds(max_efpr=max_false_per_hour).value


@settings(max_examples=25, deadline=None)
@given(true_events(), st.lists(found_events().map(apart), min_size=1, max_size=3), st.sampled_from([100.0, 400.0, 1e4]))
def test_the_score_is_that_of_psds_eval(truth, points, max_false_per_hour):
    truth = without_overlaps(map(as_stretch, truth))
    labels = sorted({event.label for event in truth})
    # There, rates of a label without true events are left unset, and those of a single one are nan.
    points = [[event for event in found if event.label in labels] for found in points]
    points = [found for found in points if found]
    assume(len(labels) > 1 and points)
    _, expected = by_psds_eval(truth, points, max_false_per_hour)
    tallies = np.array([[tally(of_label(truth, x), of_label(found, x)) for x in labels] for found in points])
    n_true = np.array([len(of_label(truth, label)) for label in labels])
    value = psds(tallies[:, :, 0] / n_true, tallies[:, :, 1] * 3600 / DURATION_S, max_false_per_hour)
    assert value == pytest.approx(expected)


@settings(max_examples=25, deadline=None)
@given(true_events(8), found_events(8).map(apart))
def test_true_and_false_positives_are_those_of_psds_eval(truth, found):
    truth = without_overlaps(map(as_stretch, truth))
    assume(truth and found)
    oracle, _ = by_psds_eval(truth, [found], 100.0)
    (counts,) = oracle.operating_points.counts
    names = sorted({event.label for event in truth})
    for label in names:
        i_label = sorted(set(oracle.class_names) - {"injected_psds_world_label"}).index(label)
        expected = Tally(int(counts[i_label, i_label]), int(counts[i_label, -1]))
        assert tally(of_label(truth, label), of_label(found, label)) == expected


def test_an_event_in_pieces_is_found_and_a_long_false_one_is_not():
    truth = [true_at("bell", 1, 5)]
    assert tally(truth, [found_at("bell", 1, 2), found_at("bell", 3, 4)]) == (1, 0)
    assert tally(truth, [found_at("bell", 1, 2)]) == (0, 0)
    assert tally(truth, [found_at("bell", 0, 12)]) == (0, 1)
    assert tally(truth, []) == (0, 0)
    assert tally([], [found_at("bell", 1, 2), found_at("bell", 3, 3)]) == (0, 1)


def test_the_area_below_the_best_thresholds():
    recalls = np.array([[0.5], [0.25], [1.0]])
    false_per_hour = np.array([[0.0], [10.0], [50.0]])
    assert psds(recalls, false_per_hour) == pytest.approx(0.5 * 0.5 + 0.5 * 1.0)
    assert psds(recalls, false_per_hour, 20.0) == pytest.approx(0.5)
    assert psds(np.zeros((3, 1)), false_per_hour) == 0.0
    # No threshold is within the limit.
    assert psds(np.ones((1, 1)), np.array([[200.0]])) == 0.0
