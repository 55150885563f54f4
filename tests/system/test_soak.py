"""Ten minutes of the day of `python -m tests.system.soak`, and the memory of a daemon that hears a microphone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.pulse_rig import PulseServer
from tests.system import soak
from tests.system.run_rig import running, wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.mark.parametrize(("n_sources", "duration_s"), [(1, 600.0), (8, 150.0)])
def test_F14_F15_F16_minutes_of_sound_leave_the_process_as_it_was(
    demo_model: Path, tmp_path: Path, n_sources: int, duration_s: float
) -> None:
    soaked = soak.soak(demo_model, tmp_path, duration_s, duration_s / 20.0, n_sources)
    assert len(soaked.looks) >= 15
    assert len(soaked.byes) == n_sources
    assert soaked.n_records > n_sources * duration_s / 0.128
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
