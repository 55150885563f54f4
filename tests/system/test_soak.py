"""Ten minutes of the day of `python -m tests.system.soak`, and the memory of a daemon that hears a microphone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.pulse_rig import PulseServer
from tests.system import soak
from tests.system.run_rig import running, wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def test_F14_F15_F16_ten_minutes_of_sound_leave_the_process_as_it_was(demo_model: Path, tmp_path: Path) -> None:
    soaked = soak.soak(demo_model, tmp_path, 600.0, look_s=30.0)
    assert len(soaked.looks) >= 15
    assert soaked.n_records > 600.0 / 0.128
    assert soaked.n_events > 0
    soaked.check()


def test_F14_daemon_and_capture_together_are_small(demo_model: Path, pulse: PulseServer) -> None:
    with running("-m", demo_model, "-s", "mic", env=pulse.env) as daemon:
        daemon.wait_for_log("state=ok")
        pids = [daemon.process.pid, *wait_until(lambda: soak.children_of(daemon.process.pid), "nobody captures")]
        peak_bytes = sum(soak.look_at(pid).peak_bytes for pid in pids)
        daemon.terminate()
    assert len(pids) == 2
    assert peak_bytes <= soak.MAX_PEAK_BYTES
