"""`streamgmm run` on real sound servers, through the real PortAudio: what is played is what it hears."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tests.pulse_rig import PulseServer, write_wav
from tests.system.run_rig import Daemon, Json, check_bye, frames_of, parse, run, running

RATE_HZ = 16000
HOP_S = 0.128
PLAYED_S = (15.0, 31.5)  # of the demo scene: five seconds of other sounds, then three events


@pytest.fixture
def played(demo_scene: Path, tmp_path: Path) -> Path:
    sounds = np.frombuffer(frames_of(demo_scene, *PLAYED_S), "<i2")
    # A microphone has heard nothing before the first sound; nor shall the file, lest its first windows be partial ones.
    samples = np.concatenate([np.zeros(2 * RATE_HZ, dtype="<i2"), sounds])
    return write_wav(tmp_path / "played.wav", samples, RATE_HZ)


def read_until(daemon: Daemon, kind: str, **values: object) -> list[Json]:
    """Records up to the first of that kind and values; the stream must not end before."""
    records = []
    for line in daemon.stdout:
        records.append(json.loads(line))
        if records[-1]["type"] == kind and values.items() <= records[-1].items():
            return records
    raise AssertionError(f"no {kind} {values} in {records}\n{daemon.log}")


def stop(daemon: Daemon) -> list[Json]:
    """SIGTERM; the rest of the records, and every sample accounted for."""
    daemon.terminate()
    rest = parse(daemon.stdout.read())
    check_bye(rest[-1], "SIGTERM")
    assert rest[-1]["in_flight_samples"] == 0
    return rest


def events_of(records: list[Json]) -> list[Json]:
    return [record for record in records if record["type"] == "end"]


def test_what_is_played_gives_the_events_that_classify_finds_in_the_file(
    demo_model: Path, played: Path, pulse: PulseServer
) -> None:
    expected = events_of(run("-m", demo_model, played, command="classify").records)
    with running("-m", demo_model, "-s", "mic", env=pulse.env) as daemon:
        records = read_until(daemon, "status", state="ok")
        assert pulse.play(played, latency_ms=2000).wait() == 0
        records += read_until(daemon, "end", label=expected[-1]["label"])
        records += stop(daemon)
    # Nothing was lost on the way: no gap.
    assert {record["type"] for record in records} == {"hello", "status", "start", "end", "bye"}
    heard = events_of(records)
    # The same events in the same order; and, as the hops of the daemon began at any moment before the
    # file did, onsets and offsets that differ by one constant shift, each and each duration to one hop.
    assert [event["label"] for event in heard] == [event["label"] for event in expected]
    assert [event["reason"] for event in heard] == [event["reason"] for event in expected]
    assert len(heard) >= 3
    for key in ("start_t", "end_t"):
        shifts_s = [after[key] - before[key] for after, before in zip(heard, expected, strict=True)]
        assert max(shifts_s) - min(shifts_s) <= HOP_S
    for after, before in zip(heard, expected, strict=True):
        assert after["duration_s"] == pytest.approx(before["duration_s"], abs=HOP_S)
    assert records[-1]["lost_samples"] == 0
    assert records[-1]["captured_samples"] == records[-1]["analysed_samples"] > 16.5 * RATE_HZ


def test_A1_a_sound_server_that_starts_later_is_found(demo_model: Path, own_server: PulseServer) -> None:
    with running("-m", demo_model, "-s", "mic", env=own_server.env) as daemon:
        records = read_until(daemon, "status", state="degraded")
        assert records[-1]["t"] == 0.0
        time.sleep(2.0)  # what is tested is a server that takes its time
        own_server.start()
        records = read_until(daemon, "status", state="ok")
        assert records[-1]["t"] == 0.0
        assert not [record for record in records if record["type"] == "gap"]
        stop(daemon)


def test_A1_a_required_microphone_that_is_missing_is_69(demo_model: Path, own_server: PulseServer) -> None:
    ended = run("-m", demo_model, "-s", "mic", "--require-device", env=own_server.env)
    assert ended.code == 69
    check_bye(ended.records[-1], ended.records[-1]["reason"])
    assert ended.err.splitlines()[-1].startswith("streamgmm: error: mic: no input device")


def test_A2_A23_a_killed_sound_server_is_heard_again_when_it_is_back(demo_model: Path, own_server: PulseServer) -> None:
    own_server.start()
    with running("-m", demo_model, "-s", "mic", "--windows", env=own_server.env) as daemon:
        read_until(daemon, "window")
        own_server.kill()
        killed_s = time.monotonic()
        records = read_until(daemon, "status", state="recovering")
        own_server.start()
        records += read_until(daemon, "status", state="ok")
        records += read_until(daemon, "window")
        back_s = time.monotonic()
        records += stop(daemon)
    lost_samples = sum(record["lost_samples"] for record in records if record["type"] == "gap")
    assert {record["reason"] for record in records if record["type"] == "gap"} == {"device_lost"}
    assert 0.3 < lost_samples / RATE_HZ < back_s - killed_s + 0.5
    assert records[-1]["lost_samples"] == 0
    # What was lost is part of the stream's time.
    assert records[-1]["t"] == pytest.approx((records[-1]["captured_samples"] + lost_samples) / RATE_HZ)


def test_F1_sigterm_while_the_sound_server_is_frozen(demo_model: Path, own_server: PulseServer) -> None:
    own_server.start()
    with running("-m", demo_model, "-s", "mic", "--windows", env=own_server.env) as daemon:
        read_until(daemon, "window")
        own_server.freeze()
        stop(daemon)


def test_F30_no_record_of_a_microphone_is_dated_after_it_comes(demo_model: Path, own_server: PulseServer) -> None:
    own_server.start()
    with running("-m", demo_model, "--windows", env=own_server.env) as daemon:
        read_until(daemon, "status", state="ok")
        ages_s = []
        for line in daemon.stdout:
            record = json.loads(line)
            dated = datetime.fromisoformat(record["time"])
            ages_s.append((datetime.now(UTC) - dated).total_seconds())
            if record["t"] > 4.0:
                break
        stop(daemon)
    assert len(ages_s) > 20
    assert min(ages_s) >= 0.0
    # Nor long before: what is told is about what was just heard.
    assert sorted(ages_s)[len(ages_s) // 2] < 1.0
