"""The automaton against pictures: a digit is a score in tenths, `[---]` the event that must come of it.

In a picture every character is one hop: `[` the first and `]` the last hop of an event, `I` both at once.
"""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from streamgmm.decision.events import (
    EventChange,
    EventClosed,
    EventContinued,
    EventOpened,
    LabelRule,
    OnsetCrossed,
    ScoreDipped,
    Segmenter,
)
from tests.decision.score_pictures import RULE, closed, run, scores_of
from tests.narrowing import of_type


def picture(digits: str, rule: LabelRule) -> str:
    drawn = ["."] * len(digits)
    for event in closed(run(scores_of(digits), rule)):
        first, last = event.onset_sample, event.offset_sample - 1
        drawn[first : last + 1] = "-" * (last - first + 1)
        drawn[first], drawn[last] = ("[", "]") if last > first else ("I", "I")
    return "".join(drawn)


def draws(rule: LabelRule, *pairs: tuple[str, str]) -> None:
    assert [picture(digits, rule) for digits, _ in pairs] == [expected for _, expected in pairs]


def test_thresholds_have_hysteresis():
    draws(
        RULE,
        ("..........", ".........."),
        ("..5555....", ".........."),
        ("..6.......", "..I......."),
        ("..69996...", "..[---]..."),
        (".456654321", "...[--]..."),
        ("..65444443", "..[-----]."),
        ("..63.63.66", "..I..I..[]"),
    )


def test_candidate_must_last():
    draws(
        RULE._replace(min_duration_samples=3),
        ("..99......", ".........."),
        ("..999.....", "..[-]....."),
        ("..955.....", "..[-]....."),
        ("99.99.99.9", ".........."),
        (".......999", ".......[-]"),
        ("........99", ".........."),
    )


def test_hangover_bridges_dips_and_is_not_part_of_the_event():
    draws(
        RULE._replace(hangover_samples=2),
        ("..9.9.....", "..[-]....."),
        ("..9..9....", "..[--]...."),
        ("..9...9...", "..I...I..."),
        ("..9..4....", "..[--]...."),
        ("..9..3.9..", "..I....I.."),
        ("..99......", "..[]......"),
        ("......99..", "......[].."),
    )


def test_hangover_does_not_help_a_candidate():
    draws(RULE._replace(hangover_samples=2, min_duration_samples=3), ("..9.99....", ".........."))


def test_refractory_time_counts_from_the_offset_to_the_next_onset():
    draws(
        RULE._replace(refractory_samples=3),
        ("..9.9.....", "..I......."),
        ("..9..9....", "..I......."),
        ("..9...9...", "..I...I..."),
        ("..9.999999", "..I...[--]"),
    )


def test_refractory_time_is_none_before_the_first_event():
    draws(RULE._replace(refractory_samples=3), ("9.........", "I........."))


def test_long_event_is_cut_and_goes_on_without_refractory_time():
    draws(
        RULE._replace(max_duration_samples=3, refractory_samples=2),
        ("..99......", "..[]......"),
        ("..999.....", "..[-]....."),
        ("..9999....", "..[-]I...."),
        ("..9994444.", "..[-][-]I."),
        ("..999.9999", "..[-]..[-]"),
    )


def test_successor_of_a_long_event_must_last_too():
    draws(
        RULE._replace(max_duration_samples=4, min_duration_samples=3),
        ("..999999..", "..[--]...."),
        ("..9999999.", "..[--][-]."),
    )


def test_minimum_above_the_maximum_cuts_at_the_minimum():
    draws(RULE._replace(max_duration_samples=2, min_duration_samples=3), (".9999999..", ".[-][-]..."))


def test_offset_threshold_of_zero_still_ends_at_a_rejection():
    draws(RULE._replace(offset_threshold=0.0), ("..91111.9.", "..[---].I."))


def test_changes_come_at_the_hop_that_decides():
    rule = RULE._replace(min_duration_samples=2, hangover_samples=1)
    *told, (closing,), silence = run(scores_of(".69817.."), rule)
    expected: list[list[EventChange]] = [
        [],
        [OnsetCrossed(0, 1)],
        [EventOpened(0, 1, 0.9)],
        [EventContinued(0, 0.8, 0.9)],
        [ScoreDipped(0, 4), EventContinued(0, 0.1, 0.9)],
        [EventContinued(0, 0.7, 0.9)],
        [ScoreDipped(0, 6), EventContinued(0, 0.0, 0.9)],
    ]
    assert told == expected
    closed = of_type(closing, EventClosed)
    assert closed._replace(mean_score=0.0) == EventClosed(0, 1, 6, 0.9, 0.0, "offset")
    assert closed.mean_score == pytest.approx(0.62)
    assert silence == []


def test_mean_score_is_over_the_event_with_its_bridged_dips_alone():
    (event,) = closed(run(scores_of("..92.7.1.."), RULE._replace(hangover_samples=2)))
    assert event.mean_score == pytest.approx(statistics.fmean([0.9, 0.2, 0.0, 0.7]))
    assert event.max_score == 0.9


def test_flush_ends_an_event_where_it_was_last_above():
    (event,) = closed(run(scores_of("..999.."), RULE._replace(hangover_samples=5)))
    assert (event.offset_sample, event.reason) == (5, "flush")


def test_flush_drops_a_candidate_for_good():
    segmenter = Segmenter([RULE._replace(min_duration_samples=2)], 1)
    segmenter.update(np.array([0.9]), 1)
    assert segmenter.close_all("flush") == []
    assert segmenter.update(np.array([0.9]), 2) == [OnsetCrossed(0, 1)]


@pytest.mark.parametrize(("end_sample", "survives"), [(6, True), (7, False)])
def test_A10_gap_ends_what_the_hangover_does_not_bridge(end_sample, survives):
    segmenter = Segmenter([RULE._replace(hangover_samples=4)], 1)
    segmenter.update(np.array([0.9]), 1)
    segmenter.update(np.array([0.9]), 2)
    expected = [] if survives else [EventClosed(0, 0, 2, 0.9, 0.9, "gap")]
    assert segmenter.gap(end_sample) == expected
    assert len(segmenter.close_all("flush")) == int(survives)


def test_A10_dip_before_the_gap_counts_into_the_hangover():
    segmenter = Segmenter([RULE._replace(hangover_samples=4)], 1)
    segmenter.update(np.array([0.9]), 1)
    segmenter.update(np.array([0.0]), 2)
    assert [type(change) for change in segmenter.gap(6)] == [EventClosed]


def test_A10_gap_drops_a_candidate():
    segmenter = Segmenter([RULE._replace(min_duration_samples=2, hangover_samples=9)], 1)
    segmenter.update(np.array([0.9]), 1)
    assert segmenter.gap(2) == []
    assert segmenter.update(np.array([0.9]), 3) == [OnsetCrossed(0, 2)]


def test_reset_forgets_refractory_times():
    segmenter = Segmenter([RULE._replace(refractory_samples=100)], 1)
    segmenter.update(np.array([0.9]), 1)
    segmenter.update(np.array([0.0]), 2)
    segmenter.reset()
    assert [type(change) for change in segmenter.update(np.array([0.9]), 1)] == [OnsetCrossed, EventOpened]
