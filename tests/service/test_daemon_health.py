"""The daemon told how well it hears, survives bugs and overload, and counts every sample."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import statistics
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamgmm.audio.choosing import PlannedSource
from streamgmm.audio.microphone.capture_child import BLOCK_HEADER
from streamgmm.audio.microphone.microphone import Microphone
from streamgmm.audio.source import Block
from streamgmm.errors import DeviceError
from streamgmm.pipeline import Pipeline
from streamgmm.records import Bye, Gap, Hello, Record, Status, Window, encode_json
from streamgmm.service import capture
from streamgmm.service.clocks import Clocks
from streamgmm.service.context import ChannelPlan
from streamgmm.service.daemon import Daemon
from streamgmm.service.session import Setup
from streamgmm.settings.config import Config
from streamgmm.settings.output import OutputSection
from streamgmm.sinks.hub import Hub, make_sinks
from tests.model.model_rig import make_model
from tests.narrowing import of_type, present
from tests.service.daemon_rig import HOP_SAMPLES, Running, keep_up, make_daemon
from tests.service.service_rig import (
    RATE_HZ,
    TIMEOUT_S,
    FakeSource,
    FakeTime,
    KeepingSink,
    check_conservation,
    noise,
)
from tests.sinks.sink_rig import Client, n_open_fds

WINDOWS = Config(output=OutputSection(windows=True))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "FIRST_DELAY_S", 0.0)


def states_of(sink: KeepingSink) -> list[str]:
    return [record.state for record in sink.of(Status)]


def check_health(status: Status) -> None:
    """Every sample that the status tells of is analysed, lost or in flight."""
    health = present(status.health)
    lost_samples = sum(health.lost_samples.get(reason, 0) for reason in ("ring_overwrite", "overload", "worker_error"))
    assert health.captured_samples == health.analysed_samples + lost_samples + health.in_flight_samples
    assert health.in_flight_samples >= 0


def test_A14_A16_what_the_signal_shows_is_told_in_the_stream_and_to_whoever_asks_for_it() -> None:
    square = np.sign(np.sin(np.arange(RATE_HZ))).astype(np.float32)
    seconds = [*(12 * [Block(np.zeros(RATE_HZ, np.float32))]), RATE_HZ, Block(square), *(13 * [RATE_HZ])]
    told: list[str] = []
    sink = KeepingSink()
    daemon: Daemon
    script = [step for second in seconds for step in (second, lambda: keep_up(daemon, sink))]
    daemon = make_daemon(FakeSource(*script), sink=sink, config=WINDOWS, on_status=lambda *said: told.append(said[0]))
    daemon.run()
    assert states_of(sink) == told[:-1] == ["ok", "silent", "ok", "clipping", "ok"]
    assert {window.label for window in sink.of(Window)[:80]} == {"silence"}
    for status in sink.of(Status):
        check_health(status)
    check_conservation(sink.records[-1], 27 * RATE_HZ)


def test_A14_sound_after_a_break_is_well_until_it_shows_otherwise() -> None:
    zeros = Block(np.zeros(10 * HOP_SAMPLES, np.float32))
    sink = KeepingSink()
    daemon: Daemon
    dead = 12 * [zeros, lambda: keep_up(daemon, sink)]
    daemon = make_daemon(FakeSource(*dead, DeviceError("gone")), FakeSource(*dead), sink=sink, config=WINDOWS)
    daemon.run()
    assert states_of(sink) == ["ok", "silent", "lost", "recovering", "ok", "silent"]


def test_F8_a_bug_costs_its_hop_and_no_sample_more(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    push, n_pushes = Pipeline.push, 0

    def fail_sometimes(self: Pipeline, samples: Any) -> list[Record]:
        nonlocal n_pushes
        n_pushes += 1
        # Before anything was done, or after all of it: either way the hop is lost.
        if n_pushes == 10:
            raise ZeroDivisionError
        records = push(self, samples)
        if n_pushes in (20, 21):
            raise ZeroDivisionError
        return records

    monkeypatch.setattr(Pipeline, "push", fail_sometimes)
    sink = KeepingSink()
    make_daemon(FakeSource(8 * RATE_HZ, is_live=False), sink=sink, config=WINDOWS).run()
    bye = check_conservation(sink.records[-1], 8 * RATE_HZ)
    assert bye.lost_samples == 3 * HOP_SAMPLES
    assert [(gap.reason, gap.lost_samples) for gap in sink.of(Gap)] == 3 * [("worker_error", HOP_SAMPLES)]
    assert bye.t == 8.0
    assert len([record for record in caplog.records if record.message.startswith("worker.failed")]) == 3
    # What comes after a loss is analysed as after any other loss.
    ends = [window.t for window in sink.of(Window)]
    assert ends == sorted(set(ends))


def test_F8_a_bug_within_a_begun_hop_costs_what_was_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    gap, n_gaps = Pipeline.gap, 0

    def fail_once(self: Pipeline, *loss: Any) -> list[Record]:
        nonlocal n_gaps
        n_gaps += 1
        if n_gaps == 1:
            raise ZeroDivisionError
        return gap(self, *loss)

    monkeypatch.setattr(Pipeline, "gap", fail_once)
    sink = KeepingSink()
    broken = Block(noise(5000), 700, "input_overflow")
    make_daemon(FakeSource(HOP_SAMPLES + 77, broken, is_live=False), sink=sink, config=WINDOWS).run()
    bye = check_conservation(sink.records[-1], HOP_SAMPLES + 77 + 5000)
    assert [(gap.reason, gap.lost_samples) for gap in sink.of(Gap)] == [("worker_error", 77), ("input_overflow", 700)]
    assert bye.lost_samples == 77
    assert bye.t == (HOP_SAMPLES + 77 + 5000 + 700) / RATE_HZ


class SlowWorker:
    """A worker that stands still at each window while it is slow."""

    def __init__(self) -> None:
        self.is_slow = threading.Event()
        self.sink = KeepingSink(self._see)
        self._may_go_on = threading.Semaphore(0)
        self._is_at_window = threading.Semaphore(0)

    def _see(self, record: Record) -> None:
        if isinstance(record, Window) and self.is_slow.is_set():
            self._is_at_window.release()
            self._may_go_on.acquire(timeout=TIMEOUT_S)

    def go_on(self, daemon: Daemon) -> None:
        """One hop; it stands at the next then, unless it has skipped all that waited."""
        while not self._is_at_window.acquire(timeout=0.01):
            if daemon._channels[0]._ring.waiting_samples < HOP_SAMPLES:
                return
        self._may_go_on.release()

    def relieve(self) -> None:
        self.is_slow.clear()
        self._may_go_on.release(1000)


def test_F12_a_worker_that_is_too_slow_skips_whole_hops_says_so_and_recovers() -> None:
    worker = SlowWorker()
    sink = worker.sink

    daemon: Daemon
    script: list[object] = [RATE_HZ, worker.is_slow.set]
    script += 60 * [RATE_HZ, lambda: worker.go_on(daemon)]
    script += [worker.relieve, *(20 * [RATE_HZ // 10, lambda: keep_up(daemon, sink)])]
    daemon = make_daemon(microphone := FakeSource(*script), sink=sink, config=WINDOWS)
    Running(daemon).join()
    bye = check_conservation(sink.records[-1], microphone.n_delivered)
    gaps = sink.of(Gap)
    assert gaps
    assert {gap.reason for gap in gaps} == {"overload"}
    assert all(gap.lost_samples % HOP_SAMPLES == 0 for gap in gaps)
    assert sum(gap.lost_samples for gap in gaps) == bye.lost_samples > 20 * RATE_HZ
    # Over within two seconds of audio after the relief.
    assert states_of(sink) == ["ok", "overloaded", "ok"]
    for status in sink.of(Status):
        check_health(status)


def test_F11_a_thousand_steps_of_the_wall_clock_change_nothing_but_the_dates() -> None:
    def records(is_stepping: bool) -> list[dict[str, Any]]:
        steps = random.Random(3)
        fake, hour = FakeTime(), [datetime(2026, 1, 31, 12, tzinfo=UTC)]

        def step() -> None:
            keep_up(daemon, sink)
            fake.now_s += 0.125
            if is_stepping:
                hour[0] = datetime(2026, 1, 31, tzinfo=UTC) + timedelta(days=steps.uniform(-3652, 3652))

        script: list[object] = []
        for i in range(1000):
            loud = noise(RATE_HZ // 8, i) * np.float32(1.0 if i // 10 % 2 else 0.001)
            script += [Block(loud), step]
        sink = KeepingSink()
        sources = FakeSource(*script[:700], DeviceError("gone")), FakeSource(*script[700:])
        clocks = Clocks(fake.clock, fake.boot_clock, lambda: hour[0])
        daemon = make_daemon(*sources, sink=sink, config=WINDOWS, clocks=clocks)
        daemon.run()
        check_conservation(sink.records[-1], 125 * RATE_HZ)
        assert any(record.time for record in sink.records)
        # How the lines of the two threads lie between each other differs from run to run, whatever the hour.
        by_thread = sorted(sink.records, key=lambda record: isinstance(record, Status))
        return [_without_dates(record) for record in by_thread]

    assert records(is_stepping=True) == records(is_stepping=False)


def _without_dates(record: Record) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(encode_json(record))
    dates_and_threads = {"time", "start_time", "end_time", "seq", "health"}
    # How far the worker is when the capture thread tells of a state differs from run to run.
    dates_and_threads |= {"t"} if isinstance(record, Status) else set()
    return {key: value for key, value in tree.items() if key not in dates_and_threads}


def test_F4_a_thousand_requests_for_the_status_are_one_line_a_second(caplog) -> None:
    caplog.set_level(logging.INFO)
    sink = KeepingSink()
    running = Running(make_daemon(microphone := FakeSource(8000, "hang"), sink=sink))
    assert microphone.hanging.wait(TIMEOUT_S)
    started_s = time.monotonic()
    for _ in range(1000):
        running.daemon.log_status()
    running.daemon.stop("SIGTERM")
    running.join()
    lines = [message for message in caplog.messages if message.startswith("process.status")]
    assert 1 <= len(lines) <= 2 + time.monotonic() - started_s
    assert "state=ok" in lines[0]
    assert "captured_samples=8000" in lines[0]
    check_conservation(sink.records[-1], 8000)


def test_a_subscriber_is_greeted_with_how_it_stands_now(tmp_path: Path) -> None:
    microphone = FakeSource(8000, "hang")
    sinks = make_sinks(OutputSection(sinks=[f"unix://{tmp_path}/s"]))
    fake = FakeTime()
    clocks = Clocks(fake.clock, fake.boot_clock)
    daemon = make_daemon(microphone, sink=sinks[0], clocks=clocks)
    running = Running(daemon)
    assert microphone.hanging.wait(TIMEOUT_S)
    fake.now_s += 50.0
    with Client(f"unix://{tmp_path}/s") as client:
        records = client.read(2)
        daemon.stop("SIGTERM")
        client.read_to_end()
    running.join()
    hello, status = of_type(records[0], Hello), of_type(records[1], Status)
    health = present(status.health)
    assert (status.state, health.uptime_s) == ("ok", 50.0)
    assert status.t == health.analysed_samples / RATE_HZ
    assert health.captured_samples == 8000
    assert health.model == hello.model
    assert health.n_clients == 0  # but for the one who asks
    assert status.source == "mic"
    assert status.time is not None
    check_health(status)


def test_the_greeting_before_the_first_sound_says_so(tmp_path: Path) -> None:
    sinks = make_sinks(OutputSection(sinks=[f"unix://{tmp_path}/s"]))
    running = Running(make_daemon(microphone := FakeSource("hang"), sink=sinks[0]))
    assert microphone.hanging.wait(TIMEOUT_S)
    with Client(f"unix://{tmp_path}/s") as client:
        assert [getattr(record, "state", None) for record in client.read(2)] == [None, "starting"]
        running.daemon.stop("SIGTERM")
        client.read_to_end()
    running.join()


def test_F9_a_worker_that_hangs_is_not_alive() -> None:
    is_freed, is_stuck = threading.Event(), threading.Event()

    def hang(record: Record) -> None:
        if isinstance(record, Window):
            is_stuck.set()
            is_freed.wait(TIMEOUT_S)

    sink = KeepingSink(hang)
    running = Running(make_daemon(microphone := FakeSource(8000, "hang"), sink=sink, config=WINDOWS))
    assert microphone.hanging.wait(TIMEOUT_S)
    watch = running.daemon.watch
    assert is_stuck.wait(TIMEOUT_S)
    assert watch.is_alive()
    fake = FakeTime()
    fake.now_s = time.monotonic() + 16.0
    watch._clock = fake.clock
    watch.move("capture")
    assert not watch.is_alive()
    assert watch.stuck_for_s()[0] in ("worker", "writer")
    watch._clock = time.monotonic
    is_freed.set()
    running.daemon.stop("SIGTERM")
    running.join()


def _rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _n_children() -> int:
    children: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            children += (task / "children").read_text().split()
    return len(children)


def test_F14_F15_F16_five_hundred_device_cycles_leave_nothing_behind(tmp_path: Path) -> None:
    opened = {"type": "opened", "device": "fake", "sample_rate_hz": RATE_HZ, "n_channels": 1}
    block = BLOCK_HEADER.pack(0, 80, 0, False) + noise(80).tobytes()
    (tmp_path / "stream").write_bytes(json.dumps(opened).encode() + b"\n" + block)
    command = ["sh", "-c", f"cat {tmp_path}/stream"]
    counts: list[tuple[int, int, int, float]] = []
    is_enough = threading.Event()

    def count(record: Record) -> None:
        if isinstance(record, Status) and record.state == "ok":
            counts.append((n_open_fds(), threading.active_count(), _n_children(), _rss_mib()))
            if len(counts) == 501:
                is_enough.set()

    sink = KeepingSink(count)
    n_before = n_open_fds(), threading.active_count(), _n_children()
    microphone = PlannedSource("mic", is_live=True, is_device=True, make=partial(Microphone, command=command))
    daemon = Daemon([ChannelPlan(microphone, Setup(make_model(), Config()))], Hub([sink]), run_id="r")
    running = Running(daemon)
    assert is_enough.wait(60)
    daemon.stop("SIGTERM")
    running.join()
    bye = sink.records[-1]
    assert isinstance(bye, Bye)
    check_conservation(bye, bye.captured_samples)
    assert bye.captured_samples >= 500 * 80
    assert (n_open_fds(), threading.active_count(), _n_children()) == n_before
    fds, threads, children, rss_mib = zip(*counts[100:], strict=True)
    # A child may be just going and the next just coming, or both may be gone: only what stays adds up.
    assert max(fds) - statistics.median(fds) <= 4
    assert max(threads) - statistics.median(threads) <= 1
    assert max(children) <= n_before[2] + 2
    # The records themselves are kept by the sink of the test.
    assert rss_mib[-1] - rss_mib[0] < 4.0


def test_a_hook_that_is_told_the_state_of_a_recording_too() -> None:
    told: list[str] = []
    sink = KeepingSink()
    make_daemon(FakeSource(8000, is_live=False), sink=sink, on_status=lambda *said: told.append(said[0])).run()
    assert told == ["ok", "stopping"]
    assert sink.of(Status) == []
