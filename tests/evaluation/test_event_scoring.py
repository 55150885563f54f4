"""Scores of events, compared with sed_eval and with slow plain code."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgmm.evaluation.event_scoring import (
    Counts,
    Criteria,
    added,
    event_counts,
    false_alarms,
    match_within_collars,
    scores_of_counts,
    segment_counts,
)
from tests.listening.event_strategies import DURATION_S, LABELS, found_at, found_events, true_at, true_events
from tests.required import oracle

collars_s = st.sampled_from([1 / 64, 0.25, 0.5, 2.0])
criteria_of_all_kinds = st.builds(
    Criteria, onset_collar_s=collars_s, offset_collar_s=st.one_of(st.none(), st.sampled_from([0.0, 0.25, 1.0]))
)


def for_sed_eval(events):
    return [{"event_label": e.label, "event_onset": e.onset_s, "event_offset": e.offset_s} for e in events]


def of_label(events, label):
    return [event for event in events if event.label == label]


def sed_eval_events(truth, found, collar_s, *, has_offsets):
    metrics = oracle("sed_eval").sound_event.EventBasedMetrics(
        event_label_list=list(LABELS),
        t_collar=collar_s,
        percentage_of_length=0.5,
        evaluate_offset=has_offsets,
        event_matching_type="optimal",
    )
    metrics.evaluate(for_sed_eval(truth), for_sed_eval(found))
    return metrics


def sed_eval_segments(truth, found, segment_s):
    metrics = oracle("sed_eval").sound_event.SegmentBasedMetrics(
        event_label_list=list(LABELS), time_resolution=segment_s
    )
    metrics.evaluate(for_sed_eval(truth), for_sed_eval(found), evaluated_length_seconds=DURATION_S)
    return metrics


def as_in_sed_eval(scores):
    """Scores under the names of sed_eval, whose 0 / 0 is nan and whose error rates are divided by epsilon."""
    return {
        "f_measure": {"f_measure": scores.f1, "precision": scores.precision, "recall": scores.recall},
        "error_rate": {
            "error_rate": scores.error_rate,
            "substitution_rate": scores.substitution_rate,
            "deletion_rate": scores.deletion_rate,
            "insertion_rate": scores.insertion_rate,
        },
    }


def assert_same_scores(scores, results):
    for group, values in as_in_sed_eval(scores).items():
        for name, value in values.items():
            if value is not None and scores.n_found and scores.n_true:
                # A single label has no substitutions, and sed_eval no key for them.
                assert value == pytest.approx(results[group].get(name, 0.0)), name


@settings(max_examples=80, deadline=None)
@given(true_events(), found_events(), st.sampled_from([1 / 8, 0.5, 1.0]))
def test_segments_are_scored_as_sed_eval_scores_them(truth, found, segment_s):
    metrics = sed_eval_segments(truth, found, segment_s)
    counts = segment_counts(truth, found, DURATION_S, segment_s)
    names = ("Nref", "Nsys", "Ntp", "S", "D", "I")
    assert counts == tuple(metrics.overall[name] for name in names)
    assert_same_scores(scores_of_counts(counts), metrics.results_overall_metrics())
    for label in LABELS:
        own = segment_counts(of_label(truth, label), of_label(found, label), DURATION_S, segment_s)
        expected = metrics.class_wise[label]
        assert (own.n_true, own.n_found, own.n_right) == (expected["Nref"], expected["Nsys"], expected["Ntp"])
        assert (own.n_deleted, own.n_inserted, own.n_substituted) == (expected["Nfn"], expected["Nfp"], 0)


@settings(max_examples=120, deadline=None)
@given(true_events(8), found_events(8), collars_s, st.booleans())
def test_as_many_events_are_right_as_sed_eval_finds(truth, found, collar_s, has_offsets):
    criteria = Criteria(onset_collar_s=collar_s, offset_collar_s=collar_s if has_offsets else None)
    metrics = sed_eval_events(truth, found, collar_s, has_offsets=has_offsets)
    counts = event_counts(match_within_collars(truth, found, criteria))
    assert (counts.n_true, counts.n_found) == (metrics.overall["Nref"], metrics.overall["Nsys"])
    assert counts.n_right == metrics.overall["Ntp"]
    # Which of several best matchings it takes is chance in sed_eval, and it substitutes greedily after that.
    assert counts.n_substituted >= metrics.overall["Nsubs"]
    for label in LABELS:
        own_truth, own_found = of_label(truth, label), of_label(found, label)
        own = event_counts(match_within_collars(own_truth, own_found, criteria))
        assert own.n_right == metrics.class_wise[label]["Ntp"]
        assert_same_scores(scores_of_counts(own), metrics.results_class_wise_metrics()[label])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS), st.integers(-40, 40)), max_size=8))
def test_scores_equal_those_of_sed_eval_for_separate_events(triples):
    truth = [true_at(label, 4.0 * i, 4.0 * i + 1) for i, (label, _, _) in enumerate(triples, 1)]
    found = [found_at(label, 4.0 * i + k / 64, 4.0 * i + 2) for i, (_, label, k) in enumerate(triples, 1)]
    metrics = sed_eval_events(truth, found, 0.5, has_offsets=False)
    counts = event_counts(match_within_collars(truth, found, Criteria(onset_collar_s=0.5)))
    assert counts == tuple(metrics.overall[name] for name in ("Nref", "Nsys", "Ntp", "Nsubs", "Nfn", "Nfp"))
    assert_same_scores(scores_of_counts(counts), metrics.results_overall_metrics())


def is_within(true, found, criteria):
    if criteria.offset_collar_s is not None:
        length_s = true.offset_s - true.onset_s
        if abs(true.offset_s - found.offset_s) > max(criteria.offset_collar_s, 0.5 * length_s):
            return False
    return abs(true.onset_s - found.onset_s) <= criteria.onset_collar_s


def best_by_trying_everything(truth, found, criteria):
    """Most pairs of one label, then most others, then least error of the onsets, over every way to pair them."""
    best = (0, 0, 0.0)
    for chosen in permutations([*found, *([None] * len(truth))], len(truth)):
        pairs = [(t, f) for t, f in zip(truth, chosen, strict=True) if f is not None and is_within(t, f, criteria)]
        n_right = sum(t.label == f.label for t, f in pairs)
        best = max(best, (n_right, len(pairs) - n_right, -sum(abs(t.onset_s - f.onset_s) for t, f in pairs)))
    return best


@settings(max_examples=120, deadline=None)
@given(true_events(3), found_events(4), criteria_of_all_kinds)
def test_the_matching_is_as_good_as_the_best_of_all(truth, found, criteria):
    pairs = match_within_collars(truth, found, criteria).pairs
    n_right, n_others, error_s = best_by_trying_everything(truth, found, criteria)
    assert sum(pair.is_right for pair in pairs) == n_right
    assert len(pairs) - n_right == n_others
    assert -sum(abs(pair.onset_error_s) for pair in pairs) == pytest.approx(error_s)


@given(true_events(), found_events(), criteria_of_all_kinds)
def test_no_event_is_in_two_pairs_and_their_order_does_not_matter(truth, found, criteria):
    matches = match_within_collars(truth, found, criteria)
    pairs = matches.pairs
    assert len({id(pair.truth) for pair in pairs}) == len({id(pair.found) for pair in pairs}) == len(pairs)
    turned = match_within_collars(truth[::-1], found[::-1], criteria)
    assert event_counts(matches) == event_counts(turned)


def test_counts_and_times_of_a_small_scene():
    truth = [true_at("bell", 1, 2), true_at("dog", 5, 6), true_at("siren", 8, 12)]
    found = [
        found_at("bell", 1.25, 2.5, 1.75),
        found_at("bell", 5.0, 6.0, 5.5),
        found_at("dog", 14.0, 15.0),
        found_at("siren", 9.0, 12.0, 9.5),
    ]
    matches = match_within_collars(truth, found, Criteria())
    assert event_counts(matches) == Counts(3, 4, 1, 1, 1, 2)
    assert [(pair.latency_s, pair.onset_error_s) for pair in matches.pairs] == [(0.75, 0.25), (0.5, 0.0)]
    # The siren is reported too late to be right, but is not a false alarm.
    assert false_alarms(truth, found, 0.5) == [found[1], found[2]]


@pytest.mark.parametrize(("offset_s", "is_right"), [(5.0, True), (4.5, True), (4.4, False), (7.5, True), (7.6, False)])
def test_an_offset_may_be_wrong_by_half_the_event(offset_s, is_right):
    truth, found = [true_at("bell", 3, 6)], [found_at("bell", 3, offset_s)]
    assert bool(match_within_collars(truth, found, Criteria(offset_collar_s=0.25)).pairs) is is_right


def test_rounding_of_a_boundary_adds_no_segment():
    # 0.3 / 0.1 is 2.9999999999999996.
    counts = segment_counts([true_at("bell", 0.3, 0.6)], [], 0.9, 0.1)
    assert counts == Counts(n_true=3, n_deleted=3)


def test_events_beyond_the_end_are_not_compared():
    assert segment_counts([], [found_at("bell", 0.5, 1.3)], 1.0, 0.25) == Counts(n_found=2, n_inserted=2)


def test_counts_of_recordings_add_up_and_nothing_has_no_scores():
    assert added([Counts(1, 2, 3, 4, 5, 6), Counts(1, 1, 1, 1, 1, 1)]) == Counts(2, 3, 4, 5, 6, 7)
    nothing = scores_of_counts(added([]))
    assert (nothing.precision, nothing.recall, nothing.f1, nothing.error_rate) == (None, None, None, None)


def test_thousands_of_events_are_matched_group_by_group():
    truth = [true_at("bell", 2.0 * i, 2.0 * i + 1) for i in range(5000)]
    found = [found_at("bell", 2.0 * i + 0.25, 2.0 * i + 1) for i in range(0, 5000, 2)]
    assert len(match_within_collars(truth, found, Criteria()).pairs) == 2500
