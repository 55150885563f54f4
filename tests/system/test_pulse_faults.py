"""`streamgmm run` on real sound servers while its microphone is swapped, changed, silenced and stopped."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.cli.cli_rig import spawn_main
from tests.pulse_rig import SINK, PulseServer, write_wav
from tests.system.listening import listening
from tests.system.run_rig import check_bye, parse, run, running, wait_until

RATE_HZ = 16000
DETECTED_S = 3.0
BACK_S = 10.0


def test_A7_another_microphone_in_place_of_the_chosen_one_is_never_listened_to(
    demo_model: Path, server: PulseServer, tmp_path: Path
) -> None:
    server.load_other_sink()
    # Or the server would have the loud sound played on the chosen one when that is back.
    server.pactl("set-default-sink", "other")
    loud = np.random.default_rng(1).integers(-20000, 20000, 20 * RATE_HZ).astype(np.int16)
    server.play(write_wav(tmp_path / "loud.wav", loud, RATE_HZ), sink="other")
    with listening(demo_model, server) as stream:
        unloaded_s = time.monotonic()
        server.unload_sink()
        lost_s = stream.read_until("status", state="lost")
        assert lost_s - unloaded_s < DETECTED_S
        assert f"moved the stream from '{SINK}.monitor' to 'other.monitor'" in stream.records[-1]["detail"]
        # Not taken for the chosen one at any later attempt either.
        stream.read_until("status", state="recovering", after=lambda record: "opened" in record["detail"])
        server.pactl("load-module", "module-null-sink", f"sink_name={SINK}", "rate=16000", "channels=1")
        stream.read_until("status", state="ok")
        assert f"{SINK}.monitor" in stream.records[-1]["detail"]
        stream.read_until("window")
        stream.check_time()
        # The chosen one is silent: what was heard of the loud one would show.
        assert {record["label"] for record in stream.records if record["type"] == "window"} == {"silence"}
        stream.stop()


def test_A7_another_default_microphone_is_said(demo_model: Path, server: PulseServer) -> None:
    server.load_other_sink()
    server.env.pop("PULSE_SOURCE")
    with listening(demo_model, server) as stream:
        server.unload_sink()
        stream.read_until("status", state="lost")
        stream.read_until("status", state="ok")
        assert "other.monitor" in stream.records[-1]["detail"]
        stream.stop()
    assert f"capture.source_changed from='{SINK}.monitor' to='other.monitor'" in stream.daemon.log


def test_A8_the_same_microphone_with_another_rate_and_more_channels(demo_model: Path, server: PulseServer) -> None:
    with listening(demo_model, server) as stream:
        server.unload_sink()
        stream.read_until("status", state="lost")
        server.load_sink(f"sink_name={SINK} rate=44100 channels=2 norewinds=1")
        back_s = time.monotonic()
        assert stream.read_until("status", state="ok") - back_s < BACK_S
        stream.read_until("window")
        stream.check_time()
        stream.stop()


@pytest.mark.parametrize("own_server", ["pulseaudio"], indirect=True)  # PipeWire wakes a sink that is recorded from
def test_A11_silent_loss_is_a_gap_of_the_right_length(demo_model: Path, server: PulseServer) -> None:
    with listening(demo_model, server) as stream:
        suspended_s = time.monotonic()
        server.suspend(True)
        time.sleep(1.0)  # how long nothing is delivered is what is tested
        server.suspend(False)
        lasted_s = time.monotonic() - suspended_s
        assert stream.read_until("gap") - suspended_s < DETECTED_S
        ((reason, lost_s),) = stream.gaps()
        assert reason == "driver_loss"
        # The sink goes on sleeping and waking for a moment on its own.
        assert lasted_s - 0.15 < lost_s < lasted_s + 0.3
        stream.read_until("window")
        stream.check_time()
        stream.stop()


@pytest.mark.parametrize("own_server", ["pulseaudio"], indirect=True)  # PipeWire wakes a sink that is recorded from
def test_A11_a_longer_one_is_a_stall_that_heals(demo_model: Path, server: PulseServer) -> None:
    with listening(demo_model, server) as stream:
        suspended_s = time.monotonic()
        server.suspend(True)
        assert stream.read_until("status", state="stalled") - suspended_s < DETECTED_S
        server.suspend(False)
        stream.read_until("status", state="ok")
        stream.read_until("window")
        assert {reason for reason, _ in stream.gaps()} == {"device_lost"}
        stream.check_time()
        stream.stop()


def test_F13_A12_a_whole_process_that_is_stopped_and_continued_counts_every_second_once(
    demo_model: Path, server: PulseServer
) -> None:
    with listening(demo_model, server) as stream:
        pid = stream.daemon.process.pid
        tasks = Path(f"/proc/{pid}/task").iterdir()
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
        for member in (pid, *children):
            os.kill(member, signal.SIGSTOP)
        time.sleep(3.0)  # how long it stands still is what is tested
        for member in (*children, pid):
            os.kill(member, signal.SIGCONT)
        continued_s = time.monotonic()
        stream.read_until("window", after=lambda record: time.monotonic() - continued_s > 2.0)
        assert sum(lost_s for _, lost_s in stream.gaps()) < 3.5
        stream.check_time()
        stream.stop()


def test_F1_A6_sigterm_while_a_frozen_server_is_opened_again(demo_model: Path, server: PulseServer) -> None:
    with listening(demo_model, server) as stream:
        server.freeze()
        stream.read_until("status", state="recovering")
        stream.stop()


def test_status_asks_a_daemon_that_hears_one_that_is_deaf_and_one_that_is_gone(
    demo_model: Path, server: PulseServer, tmp_path: Path
) -> None:
    address = f"unix://{tmp_path}/s"
    with listening(demo_model, server, "--sink", "stdout:", "--sink", address) as stream:
        hearing = run("--json", "--sink", address, command="status")
        assert hearing.code == 0
        health = hearing.records[0]["health"]
        lost_samples = sum(health["lost_samples"].get(reason, 0) for reason in ("ring_overwrite", "overload"))
        assert health["captured_samples"] == (health["analysed_samples"] + health["in_flight_samples"] + lost_samples)
        assert health["rtf"] < 1
        server.kill()
        stream.read_until("status", state="lost")
        deaf = run("--sink", address, command="status")
        assert deaf.code == 75
        assert deaf.err.count("\n") == 1
        stream.stop()
    assert run("--sink", address, command="status").code == 69


def test_F4_a_thousand_sigusr1_and_sigusr2_in_a_second_are_harmless(demo_model: Path, demo_scene: Path) -> None:
    with running("-m", demo_model, "-s", f"file:{demo_scene}", "--pace", "1") as daemon:
        assert daemon.stdout.readline()  # the signals are looked after by now
        for number in (signal.SIGUSR1, signal.SIGUSR2) * 500:
            daemon.process.send_signal(number)
            time.sleep(0.0005)
        daemon.wait_for_log("process.status state=")
        daemon.terminate()
        check_bye(parse(daemon.stdout.read())[-1], "SIGTERM")
    assert daemon.log.count("process.status") <= 4


def test_F9_F10_a_deadlock_shows_all_stacks_and_ends_with_70(demo_model: Path, demo_scene: Path) -> None:
    preparation = """
import threading
from streamgmm.service import watch
from streamgmm.pipeline import Pipeline
watch.DEADLOCK_S = 1.0
def wait_for_what_never_comes(*_): threading.Event().wait()
Pipeline.push = wait_for_what_never_comes
"""
    process = spawn_main(preparation, "run", "-m", demo_model, "-s", f"file:{demo_scene}")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 70
    assert "watch.deadlock part=worker" in err
    assert "wait_for_what_never_comes" in err
    assert wait_until(lambda: process.poll() is not None, "it still runs")
