"""Which hops a room learns from, what that changes, and what it must not change."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streamgmm.records import Record, Start
from streamgmm.room.room import DISTANCE_S, FULL_WEIGHT, FULL_WEIGHT_S, MAX_ODDS
from streamgmm.settings.config import Config
from streamgmm.settings.decision import DecisionSection
from streamgmm.settings.output import OutputSection
from tests.narrowing import present
from tests.room.room_rig import BELL, HOP_S, HUM, QUIET_ROOM, Stream, bells, make_model, make_pipeline, points

NEAR_HUM = (3.2, 1.5, 0.0)
"""Between the room and the bell: below every threshold for most of the time."""


def make_stream(*, learns_room: bool = True, config: Config | None = None) -> Stream:
    return Stream(make_pipeline(config=config, learns_room=learns_room))


def n_learnt(stream: Stream) -> int:
    return present(stream.pipeline.room).mixture.n_hops


def starts(records: list[Record]) -> list[Start]:
    return [record for record in records if isinstance(record, Start)]


def test_a_hum_that_resembles_a_class_is_answered_less_and_the_class_is_still_found() -> None:
    learning, fixed = make_stream(), make_stream(learns_room=False)
    for stream in (learning, fixed):
        stream.hear(points(NEAR_HUM, 600.0, seed=1))
    alarms = fixed.n_starts(points(NEAR_HUM, 600.0, seed=2))
    assert alarms >= 20
    assert learning.n_starts(points(NEAR_HUM, 600.0, seed=2)) <= alarms / 2
    assert learning.n_starts(bells(20)) == fixed.n_starts(bells(20)) == 20


def test_what_was_heard_counts_more_with_time_up_to_its_full_weight() -> None:
    stream = make_stream()
    weights = []
    for minute in range(8):
        stream.hear(points(QUIET_ROOM, 70.0, seed=minute))
        weights.append(present(stream.pipeline.room).weight)
    assert 0.0 < weights[0] < FULL_WEIGHT * 70.0 / FULL_WEIGHT_S
    assert weights == sorted(weights)
    assert weights[-1] == FULL_WEIGHT


@pytest.mark.parametrize("centre", [BELL, (4.5, 0.0, 0.0)], ids=["loud", "fainter"])
def test_a_class_that_sounds_for_an_hour_is_not_learnt(centre: tuple[float, ...]) -> None:
    learning, fixed = make_stream(), make_stream(learns_room=False)
    learning.hear(points(centre, 3600.0, seed=3))
    assert n_learnt(learning) == 0
    assert fixed.n_starts(bells(20)) == 20
    assert learning.n_starts(bells(20)) == 20


def test_a_class_that_sounds_again_and_again_for_an_hour_is_not_learnt() -> None:
    learning, fixed = make_stream(), make_stream(learns_room=False)
    assert learning.n_starts(bells(3600 // 8)) == 3600 // 8
    assert n_learnt(learning) * HOP_S > 600.0
    after, before = starts(learning.hear(bells(20))), starts(fixed.hear(bells(20)))
    assert [start.label for start in after] == [start.label for start in before]
    for one, other in zip(after, before, strict=True):
        assert one.start_t - after[0].start_t == pytest.approx(other.start_t - before[0].start_t)
        assert one.llr == pytest.approx(other.llr, abs=0.1)


@pytest.mark.parametrize("x", [2.5, 3.5])
def test_an_hour_of_a_class_below_its_threshold_leaves_its_detection_unchanged(x: float) -> None:
    # A detection needs 0.9, so that the faint sound is never one.
    config = Config(decision=DecisionSection(onset_threshold=0.9))
    learning, fixed = make_stream(config=config), make_stream(config=config, learns_room=False)
    learning.hear(points((x, 0.0, 0.0), 3600.0, seed=4, deviation=0.2))
    assert learning.n_starts(bells(20)) == fixed.n_starts(bells(20)) == 20


def test_hops_near_an_event_are_not_learnt() -> None:
    stream = make_stream()
    n_guard = math.ceil(DISTANCE_S / HOP_S)
    stream.hear(points(QUIET_ROOM, 30.0))
    before = n_learnt(stream)
    assert before == round(30.0 / HOP_S) - 2 * n_guard
    stream.hear(np.repeat([BELL], 10, axis=0))
    # The last seconds before the event are dropped, and those after it are not taken. Until the smoothed posterior has
    # risen, hops of two seconds ago are.
    stream.hear(np.repeat([QUIET_ROOM], 2 * n_guard, axis=0))
    n_until_risen = n_learnt(stream) - before
    assert n_until_risen <= 3
    stream.hear(np.repeat([QUIET_ROOM], n_guard, axis=0))
    assert n_learnt(stream) > before + n_until_risen


def test_the_last_seconds_before_a_loss_and_the_first_after_it_are_not_learnt() -> None:
    stream = make_stream()
    stream.hear(points(QUIET_ROOM, 30.0))
    before = n_learnt(stream)
    stream.lose()
    stream.hear(points(QUIET_ROOM, 1.9 * DISTANCE_S))
    assert n_learnt(stream) == before


def test_silence_and_incomplete_windows_are_not_learnt() -> None:
    stream = make_stream()
    stream.hear(points(QUIET_ROOM, 30.0), level_dbfs=-90.0)
    assert n_learnt(stream) == 0
    hops = [stream.hop(vector, window_share=0.5) for vector in points(QUIET_ROOM, 30.0)]
    stream.pipeline.decide(hops)
    assert n_learnt(stream) == 0


def test_a_hop_without_a_vector_changes_nothing() -> None:
    stream = make_stream()
    hop = stream.hop(np.array(QUIET_ROOM))._replace(projected=None, llrs=np.full(2, np.nan))
    room = present(stream.pipeline.room)
    assert room.raised(hop) is hop
    room.follow(is_idle=True)
    stream.hear(points(QUIET_ROOM, DISTANCE_S))
    assert n_learnt(stream) == 0


def test_the_background_is_never_lowered_and_raised_within_bounds() -> None:
    stream = make_stream()
    stream.hear(points(HUM, 600.0))
    room, raises = present(stream.pipeline.room), []
    for vector in np.random.default_rng(5).normal(scale=5.0, size=(500, 3)):
        hop = stream.hop(vector)
        raised = room.raised(hop)
        raises.append(raised.log_likelihoods[1] - hop.log_likelihoods[1])
        assert raised.log_likelihoods[0] == hop.log_likelihoods[0]
        np.testing.assert_allclose(raised.llrs, raised.log_likelihoods - raised.log_likelihoods[1], atol=1e-9)
    assert min(raises) == 0.0
    assert 0.0 < max(raises) <= math.log(MAX_ODDS) / make_model().classifier.likelihood_scale + 1e-9


def test_a_background_that_is_not_a_label_is_raised_in_the_ratios_alone() -> None:
    model = make_model(has_label=False)
    stream = Stream(make_pipeline(model), model)
    stream.hear(points(QUIET_ROOM, 600.0))
    hop = stream.hop(np.array(QUIET_ROOM))
    raised = present(stream.pipeline.room).raised(hop)
    assert raised.log_likelihoods is hop.log_likelihoods
    assert raised.llrs[0] < hop.llrs[0]


def test_records_are_the_same_bits_without_the_room_and_until_it_has_learnt() -> None:
    config = Config(output=OutputSection(windows=True, updates=True))
    vectors = np.concatenate([points(QUIET_ROOM, 40.0), bells(3)])
    records = [make_stream(config=config, learns_room=learns).hear(vectors) for learns in (False, True)]
    assert records[0] == records[1]


def test_the_same_samples_give_the_same_records() -> None:
    config = Config(output=OutputSection(windows=True))
    vectors = np.concatenate([points(HUM, 300.0), bells(10)])
    whole, parts = make_stream(config=config), make_stream(config=config)
    records = [record for part in np.array_split(vectors, 37) for record in parts.hear(part)]
    assert whole.hear(vectors) == records
