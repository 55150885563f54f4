"""Onsets and offsets are those of the sound, not of the score that follows it late."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from streamgmm.records import End, Start
from streamgmm.settings.decision import DecisionSection
from tests.decision.decider_streams import (
    BARK,
    LOUD,
    NOTHING,
    QUIET,
    RATE_HZ,
    make_decider,
    make_hop,
    run,
    sound_hops,
)
from tests.narrowing import one, only


@pytest.mark.parametrize("smoothing", ["none", "exponential", "hmm"])
@pytest.mark.parametrize(("begin_sample", "end_sample"), [(1060, 1260), (1500, 3000), (1020, 1980), (2340, 6000)])
def test_onset_and_offset_are_dated_back_to_the_sound(smoothing, begin_sample, end_sample):
    section = DecisionSection(smoothing=smoothing, smoothing_s=0.2, hangover_s=0.5, min_duration_s=0.2)
    start, end = run(make_decider(section), sound_hops(begin_sample, end_sample, 80))
    assert start.start_t == end.start_t == begin_sample / RATE_HZ
    assert end.end_t == end_sample / RATE_HZ
    assert end.duration_s == pytest.approx((end_sample - begin_sample) / RATE_HZ)


def test_long_minimum_duration_does_not_lose_the_onset():
    section = DecisionSection(smoothing="none", min_duration_s=3.0)
    start, end = run(make_decider(section), sound_hops(1060, 6000, 80))
    assert start.t - start.start_t > 3.0
    assert (start.start_t, end.end_t) == (1.06, 6.0)


def test_long_hangover_does_not_lose_the_offset():
    section = DecisionSection(smoothing="none", hangover_s=4.0)
    _, end = run(make_decider(section), sound_hops(1060, 2000, 80))
    assert end.t - end.end_t > 4.0
    assert end.end_t == 2.0


def test_offset_is_never_later_than_the_score_says():
    decider = make_decider()
    for i in range(2):
        decider.update(make_hop(i, BARK, levels_db=[LOUD] * 5))
    # Still loud for two levels, but another sound by then.
    end = one(decider.update(make_hop(2, NOTHING, levels_db=[LOUD] * 2 + [QUIET] * 3)), End)
    assert end.end_t == 0.2


def test_first_hop_may_bring_the_levels_of_its_whole_window():
    levels_db = [QUIET] * 20 + [LOUD] * 30
    start = one(make_decider().update(make_hop(9, BARK, levels_db=levels_db)), Start)
    assert start.start_t == 0.4


def test_without_levels_the_hops_tell_the_times():
    decider = make_decider()
    hops = [make_hop(i, BARK if 3 <= i < 6 else NOTHING, levels_db=[]) for i in range(9)]
    start, end = run(decider, hops)
    assert (start.start_t, end.end_t) == (0.3, 0.6)


def test_A17_levels_that_are_not_finite_are_no_onset():
    decider = make_decider()
    hops = [make_hop(i, BARK if i == 3 else NOTHING, levels_db=[math.nan] * 5) for i in range(5)]
    assert run(decider, hops)[0].start_t == 0.3


def test_back_dating_keeps_the_refractory_time():
    section = DecisionSection(smoothing="none", min_duration_s=0.0, hangover_s=0.0, refractory_s=0.5)
    hops = [make_hop(i, BARK if i in (0, 6) else NOTHING) for i in range(8)]
    # The sound rises long before its score does, yet within the refractory time of the event before.
    hops = [hop._replace(levels_db=np.full(5, LOUD if i >= 3 else QUIET)) for i, hop in enumerate(hops)]
    first, second = only(run(make_decider(section), hops), End)
    assert (first.end_t, second.start_t) == (0.1, 0.6)


def test_onset_is_never_dated_back_across_a_gap():
    decider = make_decider()
    for i in range(5):
        decider.update(make_hop(i))
    decider.gap(500, "suspend")
    start = one(decider.update(make_hop(10, BARK, levels_db=[LOUD] * 5)), Start)
    assert start.start_t == 1.0


SURE, LIKELY = (9.0, 0.0, 0.0), (0.6, 0.0, 0.0)
"""Scores of a bark above the onset threshold, and between both thresholds."""

LATE = DecisionSection(
    smoothing="none", onset_threshold=0.9, offset_threshold=0.4, min_duration_s=0.0, hangover_s=0.3, refractory_s=0.0
)


def rising_hops(scores, loud_from):
    """One hop for each score, with loud levels from a hop on."""
    return [make_hop(i, own, levels_db=[LOUD if i >= loud_from else QUIET] * 5) for i, own in enumerate(scores)]


def onsets_s(scores, loud_from, section=LATE):
    return [end.start_t for end in only(run(make_decider(section), rising_hops(scores, loud_from)), End)]


@pytest.mark.parametrize("n_likely", [1, 10, 25, 50])
def test_a_sound_that_is_sure_late_began_where_its_score_rose(n_likely):
    scores = [NOTHING] * 20 + [LIKELY] * n_likely + [SURE] * 3
    assert onsets_s(scores, loud_from=18) == [1.8]


def test_a_score_that_was_high_for_too_long_rose_with_something_else():
    scores = [NOTHING] * 20 + [LIKELY] * 60 + [SURE] * 3
    assert onsets_s(scores, loud_from=18) == [8.0]
    assert onsets_s(scores, loud_from=78) == [7.8]


def test_a_rise_may_be_broken_as_an_event_may():
    broken = [NOTHING] * 20 + [LIKELY] * 4 + [NOTHING] * 3 + [LIKELY] * 20 + [SURE] * 3
    assert onsets_s(broken, loud_from=18) == [1.8]
    longer = [NOTHING] * 20 + [LIKELY] * 4 + [NOTHING] * 4 + [LIKELY] * 20 + [SURE] * 3
    assert onsets_s(longer, loud_from=26) == [2.6]


def test_a_rise_does_not_reach_into_the_event_before():
    scores = [NOTHING] * 20 + [SURE] * 3 + [NOTHING] * 5 + [LIKELY] * 5 + [SURE] * 3
    refractory = [NOTHING] * 20 + [SURE] * 3 + [NOTHING] * 5 + [LIKELY] * 15 + [SURE] * 3
    assert onsets_s(scores, loud_from=18)[1] >= 2.3
    section = msgspec.structs.replace(LATE, refractory_s=1.2)
    assert onsets_s(refractory, loud_from=18, section=section)[1] >= 2.3 + 1.2


def test_an_event_that_is_cut_by_its_length_begins_again_where_it_was_cut():
    section = msgspec.structs.replace(LATE, max_duration_s=1.0)
    ends = only(run(make_decider(section), rising_hops([NOTHING] * 20 + [LIKELY] * 5 + [SURE] * 25, 18)), End)
    assert [end.start_t for end in ends[1:]] == [end.end_t for end in ends[:-1]]
    assert ends[0].start_t == 1.8


def test_a_rise_before_a_gap_is_forgotten():
    decider = make_decider(LATE)
    hops = rising_hops([NOTHING] * 20 + [LIKELY] * 10 + [SURE] * 3, 18)
    for hop in hops[:30]:
        decider.update(hop)
    decider.gap(100, "suspend", 3000 + 100)
    start = one(decider.update(hops[30]._replace(end_sample=3200)), Start)
    assert start.start_t == 3.1


def test_a_rejected_label_does_not_rise_even_with_a_threshold_of_0():
    section = msgspec.structs.replace(LATE, offset_threshold=0.0)
    hops = rising_hops([LIKELY] * 20 + [SURE] * 3, 18)
    hops[:18] = [hop._replace(llrs=np.full(3, -1.0)) for hop in hops[:18]]
    assert [end.start_t for end in only(run(make_decider(section), hops), End)] == [1.8]
