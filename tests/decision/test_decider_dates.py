"""Onsets and offsets are those of the sound, not of the score that follows it late."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streamgmm.records import End
from streamgmm.settings.decision import DecisionSection
from tests.decision.decider_streams import (
    BARK,
    LOUD,
    NOTHING,
    QUIET,
    RATE_HZ,
    make_decider,
    make_hop,
    of_type,
    run,
    sound_hops,
)


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
    (end,) = decider.update(make_hop(2, NOTHING, levels_db=[LOUD] * 2 + [QUIET] * 3))
    assert end.end_t == 0.2


def test_first_hop_may_bring_the_levels_of_its_whole_window():
    levels_db = [QUIET] * 20 + [LOUD] * 30
    (start,) = make_decider().update(make_hop(9, BARK, levels_db=levels_db))
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
    first, second = of_type(run(make_decider(section), hops), End)
    assert (first.end_t, second.start_t) == (0.1, 0.6)


def test_onset_is_never_dated_back_across_a_gap():
    decider = make_decider()
    for i in range(5):
        decider.update(make_hop(i))
    decider.gap(500, "suspend")
    (start,) = decider.update(make_hop(10, BARK, levels_db=[LOUD] * 5))
    assert start.start_t == 1.0
