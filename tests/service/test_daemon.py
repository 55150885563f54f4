from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from streamgmm.audio.microphone.microphone import CaptureError
from streamgmm.audio.source import Block
from streamgmm.errors import CannotCreateError, InputMissingError, OutputError, SystemResourceError
from streamgmm.pipeline import Pipeline
from streamgmm.records import Bye, Gap, Heartbeat, Hello, Record, Status, Window, decode_json
from streamgmm.service import capture
from streamgmm.service.clocks import Clocks
from streamgmm.service.daemon import Daemon
from streamgmm.settings.config import Config
from streamgmm.settings.output import OutputSection
from streamgmm.sinks.hub import Hub, make_sinks
from streamgmm.sinks.sink import Message
from tests.model.model_rig import make_model
from tests.narrowing import present
from tests.service.daemon_rig import CONFIG, HOP_SAMPLES, STOP_LIMIT_S, Running, keep_up, make_daemon, planned
from tests.service.service_rig import (
    RATE_HZ,
    TIMEOUT_S,
    FakeSource,
    FakeTime,
    KeepingSink,
    check_conservation,
    noise,
    passes,
)
from tests.sinks.sink_rig import Client, account

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MISSING = CaptureError("not_found", "no input device")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "FIRST_DELAY_S", 0.0)


def test_a_recording_is_analysed_to_its_last_sample() -> None:
    sink = KeepingSink()
    make_daemon(recording := FakeSource(5000, 5001, is_live=False), sink=sink).run()
    assert isinstance(sink.records[0], Hello)
    assert [record.seq for record in sink.records] == list(range(len(sink.records)))
    assert not sink.of(Status)
    assert {record.time for record in sink.records} == {None}
    bye = check_conservation(sink.records[-1], recording.n_delivered)
    assert (bye.reason, bye.lost_samples, bye.t) == ("end of input", 0, 10001 / RATE_HZ)
    assert sink.calls == ["drain", "hurry", "close"]


def test_A22_a_lossless_source_waits_for_a_slow_worker() -> None:
    n_blocks, block_samples = 64, 1000
    has_filled = threading.Event()
    script: list[object] = [*(16 * [block_samples]), has_filled.set, *((n_blocks - 16) * [block_samples])]
    # The worker stands still at its first hop until the ring of 2 s is full.
    sink = KeepingSink(lambda record: isinstance(record, Window) and has_filled.wait(TIMEOUT_S))
    make_daemon(FakeSource(*script, is_live=False), sink=sink).run()
    bye = check_conservation(sink.records[-1], n_blocks * block_samples)
    assert bye.lost_samples == 0
    assert not sink.of(Gap)


def test_A12_a_live_source_overwrites_what_a_slow_worker_left_and_says_how_much() -> None:
    is_stuck, has_ended = threading.Event(), threading.Event()

    def stick(record: Record) -> None:
        if isinstance(record, Window):
            is_stuck.set()
            has_ended.wait(TIMEOUT_S)

    # The first second fits into the ring; the rest comes while the worker stands still.
    script = [*(8 * [1000]), lambda: is_stuck.wait(TIMEOUT_S), *(56 * [1000]), has_ended.set]
    sink = KeepingSink(stick)
    make_daemon(microphone := FakeSource(*script), sink=sink).run()
    bye = check_conservation(sink.records[-1], microphone.n_delivered)
    assert bye.lost_samples > 64_000 - 3 * RATE_HZ
    # What it finds when it comes back is more than half of the ring: that is too old to be worth anything.
    assert [gap.reason for gap in sink.of(Gap)] == ["ring_overwrite", "overload"]
    assert sum(gap.lost_samples for gap in sink.of(Gap)) == bye.lost_samples
    assert bye.t == 64_000 / RATE_HZ


def test_A1_a_missing_device_is_told_and_then_heard() -> None:
    sink = KeepingSink()
    make_daemon(FakeSource(MISSING), FakeSource(MISSING), FakeSource(8000), sink=sink).run()
    states = [(record.state, record.t) for record in sink.of(Status)]
    assert states == [("degraded", 0.0), ("ok", 0.0)]
    check_conservation(sink.records[-1], 8000)


def test_A1_the_stream_begins_when_the_first_sound_comes() -> None:
    times = (NOW + timedelta(seconds=hours) for hours in (0, 60, 3600))
    sink = KeepingSink()
    clocks = Clocks(now=lambda: next(times), monotonic=lambda: 7.0, boot=lambda: 7.0)
    make_daemon(FakeSource(MISSING), FakeSource(8000), sink=sink, clocks=clocks).run()
    first = {type(record): record.time for record in reversed(sink.records)}
    assert first[Hello] == "2026-01-31T12:00:00.000Z"
    assert first[Status] == "2026-01-31T12:01:00.000Z"
    # The second of sound that comes then was heard by then.
    assert sink.records[-1].time == "2026-01-31T13:00:00.000Z"


class DatingSink(KeepingSink):
    """Keeps how long ago each record is dated when it comes (s)."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._now = now
        self.ages_s: list[float] = []

    def publish(self, message: Message) -> None:
        dated = datetime.fromisoformat(present(message.record.time))
        self.ages_s.append((self._now() - dated).total_seconds())
        super().publish(message)


@pytest.mark.parametrize("first_late_s", [0.0, 0.02, 0.09, 0.5])
@pytest.mark.parametrize("drift_ppm", [0, 300, -300, 3000])
@pytest.mark.parametrize("block_samples", [80, 160, 4000])
def test_F30_no_record_is_dated_after_it_comes(first_late_s: float, drift_ppm: int, block_samples: int) -> None:
    time = FakeTime()
    now = lambda: NOW + timedelta(seconds=time.now_s)  # noqa: E731
    duration_s = block_samples / RATE_HZ / (1.0 + drift_ppm / 1e6)
    n_blocks = 5 * RATE_HZ // block_samples
    # The first block comes late, and the second in time after it.
    waits_s = [duration_s + first_late_s, max(0.0, duration_s - first_late_s), *[duration_s] * (n_blocks - 2)]
    sink = DatingSink(now)
    daemon: Daemon
    blocks = [
        step for wait_s in waits_s for step in (passes(time, wait_s), block_samples, lambda: keep_up(daemon, sink))
    ]
    daemon = make_daemon(FakeSource(*blocks), sink=sink, clocks=Clocks(time.clock, time.boot_clock, now))
    daemon.run()
    assert min(sink.ages_s) >= 0.0
    assert max(sink.ages_s[2:]) < 0.2 + block_samples / RATE_HZ + max(0.0, -drift_ppm * 5e-6)
    dates = [present(record.time) for record in sink.records[1:]]
    assert dates == sorted(dates)


def test_A2_lost_sound_is_a_gap_that_the_times_after_it_include() -> None:
    time = FakeTime()
    sink = KeepingSink()
    microphones = FakeSource(8000, passes(time, 5.0), MISSING), FakeSource(800)
    make_daemon(*microphones, sink=sink, clocks=Clocks(time.clock)).run()
    bye = check_conservation(sink.records[-1], 8800)
    assert {gap.reason for gap in sink.of(Gap)} == {"device_lost"}
    assert sum(gap.lost_samples for gap in sink.of(Gap)) == 5 * RATE_HZ
    assert [record.state for record in sink.of(Status)] == ["ok", "lost", "recovering", "ok"]
    times_s = [record.t for record in sink.records]
    assert times_s == sorted(times_s)
    assert bye.t == 6.1


def test_a_required_device_ends_the_run() -> None:
    sink = KeepingSink()
    with pytest.raises(CaptureError) as caught:
        make_daemon(FakeSource(MISSING), sink=sink, is_device_required=True).run()
    assert caught.value.exit_code == 69
    assert check_conservation(sink.records[-1], 0).reason == "no input device"


def test_what_was_heard_before_a_source_failed_for_good_is_analysed() -> None:
    sink = KeepingSink()
    with pytest.raises(InputMissingError):
        make_daemon(FakeSource(9999, InputMissingError("gone"), is_live=False), sink=sink).run()
    assert check_conservation(sink.records[-1], 9999).reason == "gone"


def test_A17_sound_that_is_no_number_is_refused_and_counted() -> None:
    sink = KeepingSink()
    make_daemon(FakeSource(4000, Block(np.full(800, np.nan, np.float32)), 8000, is_live=False), sink=sink).run()
    assert "nonfinite" in {record.reject for record in sink.of(Window)}
    check_conservation(sink.records[-1], 12800)


def test_F1_stop_analyses_what_was_captured_and_ends() -> None:
    sink = KeepingSink()
    running = Running(make_daemon(microphone := FakeSource(8000, 123, "hang"), sink=sink))
    assert microphone.hanging.wait(TIMEOUT_S)
    running.daemon.stop("SIGTERM")
    assert running.join() < STOP_LIMIT_S
    assert running.error is None
    assert check_conservation(sink.records[-1], 8123).reason == "SIGTERM"


def test_F1_stop_while_the_device_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "FIRST_DELAY_S", 1000.0)
    sink = KeepingSink()
    running = Running(make_daemon(FakeSource(MISSING), sink=sink))
    sink.wait_for(Status)
    running.daemon.stop("SIGTERM")
    assert running.join() < STOP_LIMIT_S
    check_conservation(sink.records[-1], 0)


def test_F1_stop_before_the_run_ends_it_at_once() -> None:
    sink = KeepingSink()
    daemon = make_daemon(FakeSource("hang"), sink=sink)
    daemon.stop("SIGTERM")
    assert Running(daemon).join() < STOP_LIMIT_S
    assert check_conservation(sink.records[-1], 0).reason == "SIGTERM"


class PatientSink(KeepingSink):
    """Stands still in `publish` from the first window on, until it is told to hurry."""

    def __init__(self) -> None:
        self.is_stuck, self._is_hurried = threading.Event(), threading.Event()
        super().__init__(self._stick)

    def _stick(self, record: Record) -> None:
        if isinstance(record, Window):
            self.is_stuck.set()
            self._is_hurried.wait(TIMEOUT_S)

    def hurry(self) -> None:
        self._is_hurried.set()


def test_F1_stop_while_a_recording_waits_for_its_reader() -> None:
    sink = PatientSink()
    running = Running(make_daemon(FakeSource(*(64 * [1000]), is_live=False), sink=sink))
    assert sink.is_stuck.wait(TIMEOUT_S)
    running.daemon.stop("SIGTERM")
    assert running.join() < STOP_LIMIT_S
    bye = sink.records[-1]
    assert isinstance(bye, Bye)
    check_conservation(bye, bye.captured_samples)


def test_a_recording_that_waits_for_its_reader_does_not_hang() -> None:
    sink, is_filled = PatientSink(), threading.Event()
    source = FakeSource(*(14 * [1000]), is_filled.set, *(50 * [1000]), is_live=False)
    running = Running(make_daemon(source, sink=sink))
    assert sink.is_stuck.wait(TIMEOUT_S)
    assert is_filled.wait(TIMEOUT_S)
    daemon = running.daemon
    assert daemon._channels[0].has_work
    assert daemon.watch.stuck_for_s() == (None, 0.0)
    sink.hurry()
    running.join()
    check_conservation(sink.records[-1], 64_000)


def test_F1_stop_while_the_worker_is_too_slow_leaves_the_rest_in_flight() -> None:
    is_slow = threading.Event()

    def dawdle(record: Record) -> None:
        if isinstance(record, Window):
            is_slow.set()
            time.sleep(0.1)  # the work that is slow

    sink = KeepingSink(dawdle)
    config = Config(output=OutputSection(windows=True))
    running = Running(make_daemon(FakeSource(16000, "hang"), sink=sink, config=config))
    assert is_slow.wait(TIMEOUT_S)
    running.daemon.stop("SIGTERM")
    assert running.join() < STOP_LIMIT_S
    assert check_conservation(sink.records[-1], 16000, in_flight_samples=None).in_flight_samples > 0


def test_E18_E19_a_hub_that_fails_ends_the_run_while_no_audio_flows() -> None:
    sink = KeepingSink()
    running = Running(make_daemon(microphone := FakeSource("hang"), sink=sink))
    assert microphone.hanging.wait(TIMEOUT_S)
    error = OutputError("disk full")
    sink.fail(error)
    assert running.join() < STOP_LIMIT_S
    assert running.error is error


def test_F8_a_bug_in_the_worker_costs_its_hop_and_is_raised_when_it_does_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def push(*_: object) -> list[Record]:
        raise ZeroDivisionError

    monkeypatch.setattr(Pipeline, "push", push)
    sink = KeepingSink()
    running = Running(make_daemon(FakeSource(8000, "hang"), sink=sink))
    assert running.join() < STOP_LIMIT_S
    assert isinstance(running.error, ZeroDivisionError)
    bye = check_conservation(sink.records[-1], 8000, in_flight_samples=8000 - 6 * HOP_SAMPLES)
    assert bye.reason == "internal error"
    assert bye.lost_samples == 6 * HOP_SAMPLES


def test_F8_a_bug_in_the_capture_thread_is_raised_too() -> None:
    sink = KeepingSink()
    with pytest.raises(ZeroDivisionError):
        make_daemon(FakeSource(8000, ZeroDivisionError()), sink=sink).run()
    check_conservation(sink.records[-1], 8000)


def test_F8_a_bug_while_saying_bye_does_not_hang_the_run() -> None:
    def fail(record: Record) -> None:
        if isinstance(record, Bye):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_daemon(FakeSource(800, is_live=False), sink=KeepingSink(fail)).run()


def test_F17_no_thread_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> threading.Thread:
        raise SystemResourceError("cannot start a thread")

    monkeypatch.setattr("streamgmm.service.daemon.start_thread", refuse)
    sink = KeepingSink()
    with pytest.raises(SystemResourceError):
        make_daemon(FakeSource(800), sink=sink).run()
    assert sink.calls[-1] == "close"


def test_a_sink_that_cannot_be_opened_is_raised_before_anything_is_heard() -> None:
    class Taken(KeepingSink):
        def open(self, on_failure: Callable[..., None]) -> None:
            raise CannotCreateError("taken")

    with pytest.raises(CannotCreateError):
        make_daemon(microphone := FakeSource(800), sink=Taken()).run()
    assert microphone.n_delivered == 0


def test_heartbeats_come_with_the_sound_and_once_after_a_gap() -> None:
    config = Config(output=OutputSection(heartbeat_s=1.0))
    sink = KeepingSink()
    hour = Block(noise(800), 3600 * RATE_HZ, "device_lost")
    make_daemon(FakeSource(*(40 * [800]), hour, *(20 * [800])), sink=sink, config=config).run()
    beats = sink.of(Heartbeat)
    assert [int(beat.t) for beat in beats] == [1, 2, 3, 3604, 3605, 3606]
    assert all(beat.captured_samples >= beat.analysed_samples for beat in beats)
    check_conservation(sink.records[-1], 61 * 800)


def test_a_late_subscriber_learns_who_speaks_and_how_it_stands(tmp_path: Path) -> None:
    is_joined = threading.Event()
    microphone = FakeSource(8000, lambda: is_joined.wait(TIMEOUT_S), 8000)
    sinks = make_sinks(OutputSection(sinks=[f"unix://{tmp_path}/s"]))
    recorder = KeepingSink()
    daemon = Daemon([planned(make_model(), CONFIG, microphone)], Hub([*sinks, recorder]), run_id="r")
    running = Running(daemon)
    recorder.wait_for(Window)
    with Client(f"unix://{tmp_path}/s") as client:
        greeting = client.read(2)
        is_joined.set()
        rest = [decode_json(line) for line in client.read_to_end().splitlines()]
    running.join()
    assert [type(record) for record in greeting] == [Hello, Status]
    assert rest == recorder.records[rest[0].seq :]
    account(rest, rest[0].seq)
    check_conservation(rest[-1], 16000)
    assert not (tmp_path / "s").exists()
