"""The publisher of one source, and when its heartbeats are due."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.records import Bye, Gap, Status
from streamgmm.service.clocks import Clocks
from streamgmm.service.publisher import HeartbeatSchedule, Publisher
from streamgmm.sinks.hub import Hub
from tests.service.service_rig import FakeSource, FakeTime, KeepingSink, plan

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
BYE = Bye(t=1.0, reason="end", captured_samples=0, analysed_samples=0, lost_samples=0, in_flight_samples=0)


class Rig:
    def __init__(self, *, is_live: bool = True) -> None:
        self.time = FakeTime()
        self.sink = KeepingSink()
        clocks = Clocks(monotonic=self.time.clock, boot=self.time.boot_clock, now=self._now)
        self.publisher = Publisher(plan(FakeSource(is_live=is_live)), Hub([self.sink]), clocks, nullcontext)

    def _now(self) -> datetime:
        return NOON + timedelta(seconds=self.time.now_s - 100.0)


def gap_at(t: float) -> Gap:
    return Gap(t=t, lost_samples=1, reason="overload")


def test_nothing_follows_the_last_record() -> None:
    rig = Rig()
    rig.publisher.publish(gap_at(0.5), BYE, gap_at(1.5))
    rig.publisher.publish(Status(t=1.0, state="lost", detail=""))
    assert [type(record) for record in rig.sink.records] == [Gap, Bye]


def test_a_state_that_was_dated_before_a_later_record_does_not_go_back() -> None:
    rig = Rig()
    rig.publisher.publish(gap_at(2.0))
    rig.publisher.publish(Status(t=1.5, state="lost", detail=""), gap_at(2.5))
    assert [record.t for record in rig.sink.records] == [2.0, 2.0, 2.5]


def test_no_record_is_dated_after_the_moment_at_which_it_is_published() -> None:
    rig = Rig()
    rig.time.now_s += 2.0
    rig.publisher.publish(gap_at(3.0), gap_at(4.0))
    assert [record.time for record in rig.sink.records] == ["2026-01-31T12:00:02.000Z"] * 2


def test_the_start_is_dated_by_the_age_of_the_first_sample() -> None:
    rig = Rig()
    rig.time.now_s += 60.0
    rig.publisher.date_start(10.0)
    rig.publisher.publish(gap_at(1.0))
    assert rig.sink.records[0].time == "2026-01-31T12:00:51.000Z"


@pytest.mark.parametrize("drift", [1e-4, 3e-4, 6.0 / 3600.0])
def test_dates_stay_near_the_clock_however_few_samples_come(drift: float) -> None:
    rig = Rig()
    dates_s = []
    for n in range(1, 20_000):
        rig.time.now_s += 10.0
        # Of ten seconds a little less is heard, and some records are published late.
        late_s = 0.2 + (3.0 if n % 3 else 0.0)
        rig.publisher.publish(gap_at(10.0 * n * (1.0 - drift) - late_s))
        rig.publisher.correct_dates(is_caught_up=n % 5 != 1)
        date_s = (datetime.fromisoformat(str(rig.sink.records[-1].time)) - NOON).total_seconds()
        assert -6.0 <= date_s - (10.0 * n - late_s) <= 0.21
        dates_s.append(date_s + late_s)
    assert min(np.diff(dates_s)) > 0.0


def test_a_backlog_that_lasts_changes_no_dates() -> None:
    rig = Rig()
    for n in range(1, 2000):
        rig.time.now_s += 10.0
        late_s = 5.0 if n > 1000 else 0.2
        rig.publisher.publish(gap_at(10.0 * n - late_s))
        rig.publisher.correct_dates(is_caught_up=n <= 1000)
    assert rig.sink.records[-1].time == (NOON + timedelta(seconds=10.0 * n - late_s)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def test_records_of_a_recording_have_a_source_but_no_time() -> None:
    rig = Rig(is_live=False)
    rig.publisher.publish(gap_at(1.0))
    assert (rig.sink.records[0].time, rig.sink.records[0].source) == (None, "mic")


@given(st.sampled_from([0.25, 1.0, 7.0]), st.lists(st.floats(0.0, 30.0), max_size=20))
def test_each_interval_of_the_stream_has_at_most_one_heartbeat(interval_s: float, steps_s: list[float]) -> None:
    schedule, t, n_beats = HeartbeatSchedule(interval_s), 0.0, 0
    for step_s in steps_s:
        is_crossed = (t + step_s) // interval_s > t // interval_s
        t += step_s
        assert schedule.is_due(t) == is_crossed
        n_beats += is_crossed
    assert n_beats <= t / interval_s


def test_without_an_interval_no_heartbeat_is_ever_due() -> None:
    assert not HeartbeatSchedule(0.0).is_due(1e6)
