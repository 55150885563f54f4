"""What a watchdog sees of a real daemon: its threads, its ring, and the clock of the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from streamgmm.audio.microphone import CaptureError
from streamgmm.config import Config, OutputSection, SourceSection
from streamgmm.records import Record, Status, Window
from streamgmm.service import capture
from streamgmm.service.daemon import Daemon
from streamgmm.service.progress import CAPTURE_LIMIT_S, WORKER_LIMIT_S, Progress
from streamgmm.sinks.hub import Hub
from tests.model.model_rig import make_model
from tests.service.service_rig import TIMEOUT_S, FakeSource, KeepingSink, supply

CONFIG = Config(source=SourceSection(ring_s=2.0), output=OutputSection(windows=True))


class Watched:
    """A running daemon, and the progress that is seen of it; time passes only in `after`."""

    def __init__(self, *sources: FakeSource, sink: KeepingSink) -> None:
        self._now_s = 0.0
        self._daemon = Daemon(make_model(), CONFIG, supply(FakeSource(), *sources), Hub([sink]), run_id="r")
        self._progress = Progress(lambda: self._daemon.position, is_live=True, clock=lambda: self._now_s)
        self._thread = threading.Thread(target=self._daemon.run)
        self._thread.start()

    def after(self, seconds: float) -> bool:
        """Whether it is alive when so much more time has passed."""
        self._now_s += seconds
        return self._progress.is_alive()

    def becomes(self, is_alive: bool) -> None:
        deadline_s = time.monotonic() + TIMEOUT_S
        while self.after(0.0) is not is_alive:
            assert time.monotonic() < deadline_s

    def end(self) -> None:
        self._daemon.stop("SIGTERM")
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()


def test_F9_a_worker_that_hangs_is_seen_although_audio_comes() -> None:
    is_stuck, go_on = threading.Event(), threading.Event()
    gates = [threading.Event() for _ in range(3)]

    def stick(record: Record) -> None:
        if isinstance(record, Window) and not go_on.is_set():
            is_stuck.set()
            go_on.wait(TIMEOUT_S)

    def pass_gate(gate: threading.Event) -> Callable[[], object]:
        return lambda: gate.wait(TIMEOUT_S)

    script = [step for gate in gates for step in (8000, pass_gate(gate))]
    watched = Watched(FakeSource(*script, "hang"), sink=KeepingSink(stick))
    assert is_stuck.wait(TIMEOUT_S)
    assert watched.after(0.0)
    gates[0].set()
    assert watched.after(WORKER_LIMIT_S)
    gates[1].set()
    assert not watched.after(1.0)
    go_on.set()
    gates[2].set()
    watched.becomes(True)
    watched.end()


def test_F9_A1_attempts_to_find_a_microphone_are_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "FIRST_DELAY_S", 0.0)
    missing = [FakeSource(CaptureError("not_found", "no input device")) for _ in range(3)]
    sink = KeepingSink()
    watched = Watched(*missing, microphone := FakeSource("hang"), sink=sink)
    sink.wait_for(Status)
    assert microphone.hanging.wait(TIMEOUT_S)
    watched.after(0.0)
    # The last one was opened and then neither delivers nor fails: nobody heals that.
    assert watched.after(CAPTURE_LIMIT_S)
    assert not watched.after(0.1)
    watched.end()
