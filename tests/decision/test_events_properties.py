"""What holds for the events of any scores and any rule."""

from __future__ import annotations

import itertools
import statistics
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.decision.events import (
    EventClosed,
    EventContinued,
    EventOpened,
    LabelRule,
    OnsetCrossed,
    ScoreDipped,
    Segmenter,
)
from tests.decision.score_pictures import closed, run


class Case(NamedTuple):
    scores: list[float]
    rule: LabelRule


@st.composite
def rules(draw, max_durations=(0,)):
    return LabelRule(
        onset_threshold=0.6,
        offset_threshold=draw(st.sampled_from([0.0, 0.2, 0.4, 0.6])),
        min_duration_samples=draw(st.integers(0, 4)),
        hangover_samples=draw(st.integers(0, 4)),
        refractory_samples=draw(st.integers(0, 4)),
        max_duration_samples=draw(st.sampled_from(max_durations)),
    )


tenths = st.lists(st.integers(0, 9).map(lambda digit: digit / 10), max_size=60)
cases = st.builds(Case, tenths, rules())
cases_with_maximum = st.builds(Case, tenths, rules((0, 1, 2, 3, 5)))


@given(case=cases_with_maximum)
def test_events_are_in_order_long_enough_and_apart(case):
    events = closed(run(case.scores, case.rule))
    for event in events:
        assert event.offset_sample - event.onset_sample >= max(1, case.rule.min_duration_samples)
    for earlier, later in itertools.pairwise(events):
        apart = 0 if earlier.reason == "max_duration" else case.rule.refractory_samples
        assert later.onset_sample - earlier.offset_sample >= apart


@given(case=cases)
def test_events_begin_and_end_with_scores_above_and_hold_no_long_dip(case):
    for event in closed(run(case.scores, case.rule)):
        inside = case.scores[event.onset_sample : event.offset_sample]
        is_above = [score > 0.0 and score >= case.rule.offset_threshold for score in inside]
        assert inside[0] >= case.rule.onset_threshold
        assert is_above[-1]
        dips = "".join("#" if above else " " for above in is_above).split("#")
        assert max(map(len, dips)) <= case.rule.hangover_samples
        assert event.max_score == max(inside)
        assert event.mean_score == pytest.approx(statistics.fmean(inside))


@given(case=cases)
def test_without_refractory_time_every_long_enough_stretch_is_in_an_event(case):
    rule = case.rule._replace(refractory_samples=0)
    events = closed(run(case.scores, rule))
    covered = {i for event in events for i in range(event.onset_sample, event.offset_sample)}
    n_above = 0
    for i, score in enumerate(case.scores):
        n_above = n_above + 1 if score >= rule.onset_threshold else 0
        if n_above >= max(1, rule.min_duration_samples):
            assert i in covered


@given(case=cases_with_maximum, hop_samples=st.integers(1, 5000), start_sample=st.integers(0, 10**12))
def test_events_depend_on_neither_the_hop_nor_the_hour(case, hop_samples, start_sample):
    scaled = LabelRule(*case.rule[:2], *(n_hops * hop_samples for n_hops in case.rule[2:]))
    expected = [
        event._replace(
            onset_sample=start_sample + event.onset_sample * hop_samples,
            offset_sample=start_sample + event.offset_sample * hop_samples,
        )
        for event in closed(run(case.scores, case.rule))
    ]
    assert closed(run(case.scores, scaled, hop_samples=hop_samples, start_sample=start_sample)) == expected


@given(several=st.lists(cases_with_maximum, min_size=1, max_size=4))
def test_labels_do_not_touch_each_other(several):
    n_hops = max(len(case.scores) for case in several)
    padded = [case.scores + [0.0] * (n_hops - len(case.scores)) for case in several]
    segmenter = Segmenter([case.rule for case in several], 1)
    together = [segmenter.update(np.array(scores), i + 1) for i, scores in enumerate(zip(*padded, strict=True))]
    together.append(segmenter.close_all("flush"))
    for i_label, (case, scores) in enumerate(zip(several, padded, strict=True)):
        alone = [[change._replace(i_label=i_label) for change in changes] for changes in run(scores, case.rule)]
        assert [[change for change in changes if change.i_label == i_label] for changes in together] == alone


@given(case=cases_with_maximum)
def test_changes_follow_the_grammar_of_an_event(case):
    """Crossed, perhaps opened, then continued and dipped until closed, and no change after that."""
    is_open = is_crossed = False
    for change in [change for changes in run(case.scores, case.rule) for change in changes]:
        match change:
            case OnsetCrossed():
                assert not is_open
                is_crossed = True
            case EventOpened():
                assert is_crossed
                assert not is_open
                is_crossed, is_open = False, True
            case EventContinued() | ScoreDipped():
                assert is_open
            case EventClosed():
                assert is_open
                is_open = False
    assert not is_open
