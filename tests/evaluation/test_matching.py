from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgmm.evaluation.matching import Matches, match_events, overlapping
from streamgmm.listening.events import Annotation, Detection

COLLAR_S = 0.25


def true_at(label: str, onset_s: float, offset_s: float) -> Annotation:
    return Annotation(label, onset_s, offset_s)


def found_at(label: str, onset_s: float, offset_s: float, reported_s: float | None = None) -> Detection:
    return Detection(label, onset_s, offset_s, onset_s if reported_s is None else reported_s, 0.9)


def test_events_are_found_missed_or_false():
    truth = [true_at("bell", 1, 2), true_at("bell", 5, 6), true_at("dog", 8, 9)]
    found = [found_at("bell", 1.2, 2.5, 1.7), found_at("dog", 5.1, 6), found_at("dog", 8, 8.5, 8.4)]
    matches = match_events(truth, found, overlapping(COLLAR_S))
    assert [tuple(pair) for pair in matches.pairs] == [(truth[0], found[0]), (truth[2], found[2])]
    assert matches.missed == [truth[1]]
    assert matches.false == [found[1]]
    assert [pair.latency_s for pair in matches.pairs] == pytest.approx([0.7, 0.4])


def test_a_second_finding_of_the_same_event_is_false_and_the_better_overlap_wins():
    truth = [true_at("bell", 1, 3)]
    found = [found_at("bell", 0.9, 1.2), found_at("bell", 1.4, 3)]
    matches = match_events(truth, found, overlapping(COLLAR_S))
    assert matches.pairs[0].found == found[1]
    assert matches.false == [found[0]]


def test_one_long_finding_over_two_events_finds_only_one():
    truth = [true_at("bell", 1, 2), true_at("bell", 3, 5)]
    matches = match_events(truth, [found_at("bell", 1, 5)], overlapping(COLLAR_S))
    assert [pair.truth for pair in matches.pairs] == [truth[1]]
    assert matches.missed == [truth[0]]


def test_more_pairs_win_over_a_better_overlap():
    truth = [true_at("bell", 0, 2), true_at("bell", 2.2, 3)]
    found = [found_at("bell", 1.9, 3), found_at("bell", 2.9, 4)]
    assert len(match_events(truth, found, overlapping(COLLAR_S)).pairs) == 2


@pytest.mark.parametrize(("onset_s", "is_pair"), [(2.2, True), (2.3, False)])
def test_the_collar_widens_the_truth(onset_s: float, is_pair: bool):
    matches = match_events([true_at("bell", 1, 2)], [found_at("bell", onset_s, 4)], overlapping(COLLAR_S))
    assert bool(matches.pairs) is is_pair


@pytest.mark.parametrize(("n_true", "n_found"), [(0, 0), (0, 2), (2, 0)])
def test_nothing_to_match(n_true: int, n_found: int):
    truth, found = [true_at("bell", 1, 2)] * n_true, [found_at("bell", 1, 2)] * n_found
    matches = match_events(truth, found, overlapping(COLLAR_S))
    assert (matches.pairs, matches.missed, matches.false) == ([], truth, found)


def can_match(true_event: Annotation, found_event: Detection) -> bool:
    return true_event.label == found_event.label and min(true_event.offset_s + COLLAR_S, found_event.offset_s) > max(
        true_event.onset_s - COLLAR_S, found_event.onset_s
    )


def overlap(true_event: Annotation, found_event: Detection) -> float:
    shared = min(true_event.offset_s, found_event.offset_s) - max(true_event.onset_s, found_event.onset_s)
    span = max(true_event.offset_s, found_event.offset_s) - min(true_event.onset_s, found_event.onset_s)
    return max(shared, 0.0) / span


def best_by_trying_everything(truth: list[Annotation], found: list[Detection]) -> tuple[int, float]:
    """Most pairs, then most overlap, over every way to give each true event a found one or none."""
    choices = [*found, *([None] * len(truth))]
    best = (0, 0.0)
    for chosen in permutations(choices, len(truth)):
        taken = [(true, one) for true, one in zip(truth, chosen, strict=True) if one is not None]
        pairs = [(true, one) for true, one in taken if can_match(true, one)]
        best = max(best, (len(pairs), sum(overlap(true, one) for true, one in pairs)))
    return best


spans = st.tuples(st.sampled_from("ab"), st.integers(0, 20), st.integers(1, 8))
true_events = st.lists(spans.map(lambda span: true_at(span[0], span[1] / 4, (span[1] + span[2]) / 4)), max_size=3)
found_events = st.lists(spans.map(lambda span: found_at(span[0], span[1] / 4, (span[1] + span[2]) / 4)), max_size=4)


@settings(max_examples=150, deadline=None)
@given(true_events, found_events)
def test_the_matching_is_as_good_as_the_best_of_all(truth: list[Annotation], found: list[Detection]):
    matches = match_events(truth, found, overlapping(COLLAR_S))
    n_pairs, total_overlap = best_by_trying_everything(truth, found)
    assert all(can_match(*pair) for pair in matches.pairs)
    assert len(matches.pairs) == n_pairs
    assert sum(overlap(*pair) for pair in matches.pairs) == pytest.approx(total_overlap)


@settings(max_examples=100, deadline=None)
@given(true_events, found_events)
def test_every_event_is_accounted_for_exactly_once(truth: list[Annotation], found: list[Detection]):
    matches = match_events(truth, found, overlapping(COLLAR_S))
    assert sorted(matches.truth) == sorted(truth)
    assert sorted([*(pair.found for pair in matches.pairs), *matches.false]) == sorted(found)


def test_results_per_label_and_in_total():
    matches = match_events(
        [true_at("bell", 1, 2), true_at("bell", 4, 5), true_at("dog", 7, 8)],
        [found_at("bell", 1, 2, 1.5), found_at("bell", 4, 5, 5.0), found_at("cat", 7, 8)],
        overlapping(COLLAR_S),
    )
    assert matches.labels == ["bell", "cat", "dog"]
    assert matches.of_label("bell") == ("bell", 2, 2, 0, 0, 0.75)
    assert matches.of_label("dog") == ("dog", 1, 0, 1, 0, None)
    assert matches.of_label("cat") == ("cat", 0, 0, 0, 1, None)
    assert matches.in_total() == ("all", 3, 2, 1, 1, 0.75)
    assert Matches([], [], []).in_total() == ("all", 0, 0, 0, 0, None)
