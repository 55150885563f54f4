"""The decider as a whole, from hop scores to records."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgmm.errors import ConfigError, DataError
from streamgmm.records import End, Gap, Start, Update, Window, encode_json
from streamgmm.settings.decision import DecisionSection, LabelSection
from tests.decision.decider_streams import (
    BARK,
    DOOR,
    HOP,
    LOUD,
    NOTHING,
    QUIET,
    feed,
    make_decider,
    make_hop,
    run,
    sound_hops,
)
from tests.narrowing import of_type, one, only, present


def test_event_starts_and_ends_with_all_its_fields():
    records = feed(make_decider(), NOTHING, BARK, BARK, NOTHING)
    bark = round(1.0 / (1.0 + 2.0 * math.exp(-5.0)), 4)
    assert records == [
        Start(t=0.2, id="run-1", label="bark", score=bark, llr=3.0, threshold=0.6, start_t=0.1),
        End(
            t=0.4,
            id="run-1",
            label="bark",
            start_t=0.1,
            end_t=0.3,
            duration_s=0.2,
            max_score=bark,
            mean_score=bark,
            reason="offset",
        ),
    ]


def test_time_of_a_record_is_the_end_of_the_hop_that_decided():
    section = DecisionSection(smoothing="none", min_duration_s=0.3, hangover_s=0.2)
    start, end = feed(make_decider(section), BARK, BARK, BARK, NOTHING, NOTHING, NOTHING)
    assert (start.t, start.start_t) == (0.3, 0.0)
    assert (end.t, end.end_t) == (0.6, 0.3)


def test_windows_and_updates_come_only_if_wanted():
    records = feed(make_decider(windows=True, updates=True), NOTHING, BARK, BARK, NOTHING)
    kinds = [type(record) for record in records]
    assert kinds == [Window, Window, Start, Window, Update, Window, End]
    (update,) = only(records, Update)
    assert (update.t, update.id, update.duration_s) == (0.3, "run-1", 0.2)
    assert update.score == update.max_score == 0.9867


def test_window_tells_the_scores_of_all_labels():
    window = feed(make_decider(windows=True), BARK)[0]
    assert (window.label, window.score, window.llr, window.level_dbfs) == ("bark", 0.9867, 3.0, -30.0)
    assert window.scores == {"bark": 0.9867, "door": 0.0066, "background": 0.0066}
    assert window.reject is None


@pytest.mark.parametrize(
    ("changes", "label", "reject"),
    [
        ({"level_dbfs": -80.0}, "silence", "silence"),
        ({"log_likelihoods": (math.nan, 0.0, 0.0)}, "unknown", "nonfinite"),
        ({"llrs": (-1.0, 3.0, 3.0)}, "background", "background"),
        ({"is_in_domain": (False, True, True)}, "unknown", "unknown"),
    ],
)
def test_gates_refuse_and_are_counted_and_end_the_event(changes, label, reject):
    decider = make_decider(windows=True)
    feed(decider, BARK)
    window, end = decider.update(make_hop(1, **({"log_likelihoods": BARK} | changes)))
    assert isinstance(window, Window)
    assert (window.label, window.reject) == (label, reject)
    assert of_type(end, End).reason == "offset"
    assert decider.n_rejects == {reject: 1}


def test_priors_and_scale_weigh_in():
    log_priors = [0.0, math.log(2.0), 0.0]
    (usual, *_) = feed(make_decider(windows=True, log_priors=log_priors), (0.0, 0.0, 0.0))
    assert usual.scores == {"bark": 0.25, "door": 0.5, "background": 0.25}
    (scaled, *_) = feed(make_decider(windows=True, likelihood_scale=0.1), (math.log(2.0) * 10.0, 0.0, 0.0))
    assert scaled.scores == {"bark": 0.5, "door": 0.25, "background": 0.25}


def test_trained_reserved_label_wins_without_an_event():
    decider = make_decider(labels=("bark", "silence", "door"), windows=True)
    (window,) = feed(decider, DOOR)
    assert (window.label, window.reject) == ("silence", None)
    assert decider.flush() == []


def test_A17_hop_that_is_not_finite_leaves_the_smoother_untouched():
    smooth = DecisionSection(smoothing_s=1.0)
    hurt, whole = make_decider(smooth, windows=True), make_decider(smooth, windows=True)
    feed(hurt, BARK, BARK, (math.nan, 0.0, 0.0))
    feed(whole, BARK, BARK)
    assert feed(hurt, BARK, first=3)[0].scores == feed(whole, BARK, first=3)[0].scores


@pytest.mark.parametrize("smoothing", ["exponential", "hmm"])
def test_silence_lets_the_next_sound_start_fresh(smoothing):
    section = DecisionSection(smoothing=smoothing, smoothing_s=1.0)
    decider, fresh = make_decider(section, windows=True), make_decider(section, windows=True)
    feed(decider, *[DOOR] * 20)
    decider.update(make_hop(20, level_dbfs=-90.0))
    assert only(feed(decider, BARK, first=21), Window)[0].scores == feed(fresh, BARK)[0].scores


def test_two_labels_may_be_open_at_once_and_have_ids_of_their_own():
    section = DecisionSection(smoothing="none", onset_threshold=0.4, offset_threshold=0.3, min_duration_s=0.0)
    records = feed(make_decider(section), (5.0, 5.0, 0.0))
    assert [(record.id, record.label) for record in records] == [("run-1", "bark"), ("run-2", "door")]


def test_label_has_its_own_threshold():
    section = DecisionSection(
        smoothing="none", min_duration_s=0.0, labels={"bark": LabelSection(onset_threshold=0.999)}
    )
    assert [record.label for record in feed(make_decider(section), BARK, DOOR)] == ["door"]
    overrides = {"door": LabelSection(onset_threshold=0.9)}
    (start,) = feed(make_decider(label_overrides=overrides), DOOR)
    assert start.threshold == 0.9


def test_C3_settings_of_an_unknown_label_are_refused():
    with pytest.raises(ConfigError, match="did you mean bark"):
        make_decider(DecisionSection(labels={"barkk": LabelSection()}))


def test_long_event_is_cut_without_a_hole():
    section = DecisionSection(
        smoothing="none", min_duration_s=0.0, hangover_s=0.0, refractory_s=0.5, max_duration_s=0.3
    )
    ends = only(run(make_decider(section), [make_hop(i, BARK) for i in range(7)]), End)
    assert [(end.start_t, end.end_t, end.reason) for end in ends] == [
        (0.0, 0.3, "max_duration"),
        (0.3, 0.6, "max_duration"),
        (0.6, 0.7, "flush"),
    ]


def test_A10_short_gap_marks_the_event():
    section = DecisionSection(smoothing="none", min_duration_s=0.0, hangover_s=0.3)
    decider = make_decider(section)
    feed(decider, BARK, BARK)
    assert decider.gap(200, "input_overflow") == [Gap(t=0.4, lost_samples=200, reason="input_overflow")]
    assert feed(decider, BARK, first=4) == []
    end = one(decider.flush(), End)
    assert (end.start_t, end.end_t, end.gap, end.reason) == (0.0, 0.5, True, "flush")


def test_A11_gap_longer_than_the_hangover_ends_the_event():
    section = DecisionSection(smoothing="none", min_duration_s=0.0, hangover_s=0.3)
    decider = make_decider(section)
    feed(decider, BARK, BARK)
    gap, end = decider.gap(301, "ring_overwrite")
    assert (gap.t, end.t) == (0.501, 0.501)
    assert isinstance(end, End)
    assert (end.end_t, end.reason, end.gap) == (0.2, "gap", True)
    assert decider.flush() == []


def test_event_after_a_gap_is_not_marked():
    decider = make_decider()
    decider.gap(1000, "suspend")
    (end,) = only([*feed(decider, BARK, first=10), *decider.flush()], End)
    assert end.gap is False


def test_A10_gap_resets_the_smoother():
    smooth = DecisionSection(smoothing_s=5.0)
    decider, fresh = make_decider(smooth, windows=True), make_decider(smooth, windows=True)
    feed(decider, *[DOOR] * 9)
    decider.gap(100, "device_lost")
    assert feed(decider, BARK, first=10)[0].scores == feed(fresh, BARK)[0].scores


def test_gap_may_say_where_it_ends():
    decider = make_decider()
    feed(decider, BARK)
    assert decider.gap(50, "suspend", end_sample=190)[0].t == 0.19


@pytest.mark.parametrize(("lost_samples", "end_sample"), [(-1, None), (-5, None), (10, 199)])
def test_gap_that_cannot_be_is_refused(lost_samples, end_sample):
    decider = make_decider()
    feed(decider, BARK, BARK)
    with pytest.raises(DataError, match="a gap of"):
        decider.gap(lost_samples, "suspend", end_sample)


def test_hops_out_of_order_are_refused():
    decider = make_decider()
    decider.update(make_hop(3))
    with pytest.raises(DataError, match="after one at 400"):
        decider.update(make_hop(3))


def test_hop_of_another_model_is_refused():
    with pytest.raises(DataError, match="3 labels"):
        make_decider().update(make_hop(0, (0.0, 0.0)))


def test_flush_ends_open_events_and_only_once():
    decider = make_decider()
    feed(decider, NOTHING, BARK)
    end = one(decider.flush(), End)
    assert (end.t, end.start_t, end.end_t, end.reason) == (0.2, 0.1, 0.2, "flush")
    assert decider.flush() == []


def test_second_run_after_reset_is_the_same_but_for_its_ids():
    section = DecisionSection(smoothing_s=0.2)
    decider = make_decider(section, windows=True)
    first = run(decider, sound_hops(1060, 2000, 40))
    decider.reset()
    second = run(decider, sound_hops(1060, 2000, 40))
    assert [encode_json(record).replace(b"run-2", b"run-1") for record in second] == list(map(encode_json, first))
    assert {record.id for record in only(second, Start)} == {"run-2"}


sections = st.builds(
    DecisionSection,
    smoothing=st.sampled_from(["exponential", "hmm", "none"]),
    onset_threshold=st.sampled_from([0.4, 0.6, 0.9]),
    offset_threshold=st.sampled_from([0.0, 0.3, 0.4]),
    min_duration_s=st.sampled_from([0.0, 0.1, 0.3]),
    hangover_s=st.sampled_from([0.0, 0.1, 0.4]),
    refractory_s=st.sampled_from([0.0, 0.2, 0.5]),
    max_duration_s=st.sampled_from([0.0, 0.1, 0.5]),
)
hops = st.tuples(
    st.sampled_from([NOTHING, BARK, DOOR, (math.nan, 0.0, 0.0)]),
    st.sampled_from([-90.0, -30.0, -30.0, -30.0]),
    st.sampled_from([QUIET, QUIET, LOUD]),
    st.sampled_from([0, 0, 0, 0, 0, 0, 1, 4]),
)


def run_with_gaps(decider, stream):
    records, i_hop = [], 0
    for log_likelihoods, level_dbfs, level_db, n_lost_hops in stream:
        if n_lost_hops:
            records += decider.gap(n_lost_hops * HOP, "input_overflow")
            i_hop += n_lost_hops
        hop = make_hop(i_hop, log_likelihoods, level_dbfs=level_dbfs, levels_db=np.full(5, level_db))
        records += decider.update(hop)
        i_hop += 1
    return records + decider.flush()


@settings(deadline=None)
@given(section=sections, stream=st.lists(hops, max_size=60))
def test_records_of_any_stream_are_consistent(section, stream):
    records = run_with_gaps(make_decider(section, windows=True, updates=True), stream)
    times = [record.t for record in records]
    assert times == sorted(times)
    for record in records:
        json.loads(encode_json(record))
    starts, ends = only(records, Start), only(records, End)
    assert sorted(start.id for start in starts) == sorted(end.id for end in ends)
    assert len({start.id for start in starts}) == len(starts)
    started = {start.id: start for start in starts}
    last_ends: dict[str, End] = {}
    for end in ends:
        start = started[end.id]
        assert (start.label, start.start_t) == (end.label, end.start_t)
        assert 0.0 <= start.start_t <= start.t <= end.t
        assert end.start_t <= end.end_t <= end.t
        assert end.duration_s == pytest.approx(end.end_t - end.start_t)
        earlier = last_ends.get(end.label)
        if earlier is not None:
            apart_s = 0.0 if earlier.reason == "max_duration" else section.refractory_s
            assert end.start_t - earlier.end_t >= apart_s - 1e-9
        last_ends[end.label] = end


@settings(deadline=None, max_examples=50)
@given(section=sections, stream=st.lists(hops, max_size=40))
def test_what_is_wanted_does_not_change_the_events(section, stream):
    all_records = run_with_gaps(make_decider(section, windows=True, updates=True), stream)
    few_records = run_with_gaps(make_decider(section), stream)
    assert [record for record in all_records if not isinstance(record, Window | Update)] == few_records


def test_the_last_judgement_and_the_states_can_be_seen():
    decider = make_decider()
    assert decider.judgement is None
    feed(decider, BARK)
    assert present(decider.judgement).verdict.label == "bark"
    assert [state.value for state in decider.states] == ["open", "idle", "idle"]
    feed(decider, NOTHING, first=1)
    assert present(decider.judgement).scores.max() < 0.4
    assert [state.value for state in decider.states] == ["idle", "idle", "idle"]
    decider.reset()
    assert decider.judgement is None


def test_a_hop_out_of_order_refuses_all_that_came_with_it():
    decider, other = make_decider(), make_decider()
    with pytest.raises(DataError, match="after one at"):
        decider.update_stack([decider] * 3, [make_hop(0, BARK), make_hop(2, BARK), make_hop(1, BARK)])
    hops = [make_hop(i, BARK) for i in range(3)]
    alone = [record for hop in hops for record in other.update(hop)]
    assert [record for records in decider.update_stack([decider] * 3, hops) for record in records] == alone
