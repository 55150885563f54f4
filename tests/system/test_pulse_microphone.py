"""The microphone on real sound servers, through the real PortAudio."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from streamgmm.audio.microphone.capture_process import Timeouts
from streamgmm.audio.microphone.microphone import CAPTURE_COMMAND, CaptureError, Microphone, list_devices
from streamgmm.errors import DeviceError
from tests.pulse_rig import PulseServer, write_wav
from tests.sound_servers import SERVERS

RATE_HZ = 16000
CLOSE_LIMIT_S = 0.1


@pytest.fixture
def noise(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Two seconds in which no sample is zero, so that the first one heard is the first one played."""
    values = np.random.default_rng(1).integers(1, 32768, 2 * RATE_HZ).astype(np.int16)
    values[1::2] *= -1
    return write_wav(tmp_path / "noise.wav", values, RATE_HZ), values


def hear(microphone: Microphone, n_samples: int) -> np.ndarray:
    """At least `n_samples` samples from the first that is not zero on, whole blocks."""
    heard = np.zeros(0, np.float32)
    while len(heard) < n_samples:
        block = microphone.read()
        assert block is not None
        assert block.gap_reason is None
        heard = np.concatenate([heard, block.samples])
        first = int(np.argmax(heard != 0)) if heard.any() else len(heard)
        heard = heard[first:]
    return heard


def failure(microphone: Microphone) -> CaptureError:
    """What reading fails with, sooner or later."""
    try:
        while microphone.read() is not None:
            pass
    except CaptureError as error:
        return error
    return pytest.fail("the end of a microphone is an error")


def close_duration_s(microphone: Microphone) -> float:
    start_s = time.monotonic()
    microphone.close()
    return time.monotonic() - start_s


@pytest.mark.parametrize("channel", ["mean", 0, 1])
def test_what_is_played_is_heard_bit_by_bit(pulse: PulseServer, noise, channel) -> None:
    wav, values = noise
    microphone = Microphone(pulse.device, channel)
    microphone.open(RATE_HZ)
    try:
        # Far ahead: a machine that is busy for a moment must not leave a hole in what is played.
        pulse.play(wav, latency_ms=1000)
        heard = hear(microphone, len(values))[: len(values)]
    finally:
        microphone.close()
    assert heard.dtype == np.float32
    np.testing.assert_array_equal(heard, values.astype(np.float32) / 32768)


def test_the_default_device_is_heard_without_a_name(pulse: PulseServer) -> None:
    microphone = Microphone()
    microphone.open(RATE_HZ)
    block = microphone.read()
    microphone.close()
    assert microphone.name == "mic"
    assert block is not None
    assert block.samples.shape == (RATE_HZ // 50,)


def test_A1_missing_device_names_those_that_exist(pulse: PulseServer) -> None:
    with pytest.raises(DeviceError, match=rf"mic:gramophone: no such input device \(there are: .*'{pulse.device}'"):
        Microphone("gramophone").open(RATE_HZ)


def test_A1_no_sound_server(pulse: PulseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSE_SERVER", "unix:/nonexistent")
    monkeypatch.setenv("PIPEWIRE_REMOTE", "/nonexistent")
    with pytest.raises(CaptureError, match="mic: no input device") as caught:
        Microphone().open(RATE_HZ)
    assert caught.value.reason == "not_found"


def test_a_channel_that_the_device_lacks(pulse: PulseServer) -> None:
    with pytest.raises(CaptureError, match="has no channel 4711"):
        Microphone(pulse.device, 4711).open(RATE_HZ)


def test_devices_are_listed(pulse: PulseServer) -> None:
    devices = list_devices(5.0)
    assert pulse.device in [device.name for device in devices]
    assert sum(device.is_default for device in devices) == 1
    assert all(device.max_channels > 0 and device.default_rate_hz > 0 for device in devices)


def test_A2_server_killed_while_running_then_a_fresh_microphone_hears(pulse: PulseServer, noise) -> None:
    wav, values = noise
    microphone = Microphone(pulse.device)
    microphone.open(RATE_HZ)
    assert microphone.read() is not None
    pulse.kill()
    assert failure(microphone).reason in ("child_exit", "stalled")
    pulse.start()
    fresh = Microphone(pulse.device)
    fresh.open(RATE_HZ)
    try:
        pulse.play(wav)
        heard = hear(fresh, len(values))[: len(values)]
        np.testing.assert_array_equal(heard, values.astype(np.float32) / 32768)
    finally:
        fresh.close()


def test_A4_frozen_server_is_a_stall_and_close_is_quick(pulse: PulseServer) -> None:
    microphone = Microphone(pulse.device, timeouts=Timeouts(stall_s=0.5))
    microphone.open(RATE_HZ)
    assert microphone.read() is not None
    pulse.freeze()
    assert failure(microphone).reason == "stalled"
    assert close_duration_s(microphone) < CLOSE_LIMIT_S


def test_A4_close_is_quick_while_the_server_is_frozen(pulse: PulseServer) -> None:
    microphone = Microphone(pulse.device)
    microphone.open(RATE_HZ)
    assert microphone.read() is not None
    pulse.freeze()
    assert close_duration_s(microphone) < CLOSE_LIMIT_S


def test_A6_server_frozen_before_open(pulse: PulseServer) -> None:
    pulse.freeze()
    microphone = Microphone(pulse.device, timeouts=Timeouts(open_s=0.7))
    with pytest.raises(CaptureError, match=r"no answer for 0\.7 s") as caught:
        microphone.open(RATE_HZ)
    assert caught.value.reason == "open_timeout"
    with pytest.raises(DeviceError, match=r"devices: no answer for 0\.7 s"):
        list_devices(0.7)


@pytest.mark.parametrize("is_open", [False, True])
def test_A4_a_parent_that_dies_takes_the_child_along_while_the_server_is_frozen(
    pulse: PulseServer, is_open: bool
) -> None:
    if not is_open:
        pulse.freeze()
    request = json.dumps({"device": pulse.device, "n_channels": 1, "sample_rate_hz": RATE_HZ})
    pipe = subprocess.PIPE
    with subprocess.Popen([*CAPTURE_COMMAND, request], stdin=pipe, stdout=pipe) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        if is_open:
            child.stdout.readline()
            pulse.freeze()
        child.stdin.close()
        assert child.wait(5) == 0


def test_A2_unplugged_while_running(pulse: PulseServer) -> None:
    microphone = Microphone(pulse.device, timeouts=Timeouts(stall_s=2.0))
    microphone.open(RATE_HZ)
    assert microphone.read() is not None
    pulse.unload_sink()
    try:
        error = failure(microphone)
    finally:
        pulse.load_sink()
    # PipeWire has a stand-in for a microphone, and moves the stream there.
    assert error.reason in ("child_exit", "stalled", "moved")


@pytest.mark.parametrize(
    ("pulse_server", "is_child_stopped"),
    # A stream of PipeWire's own lives in the process that is stopped: see A11.
    [*((kind, False) for kind in SERVERS), ("pulseaudio", True), ("pipewire", True)],
    indirect=["pulse_server"],
)
def test_A12_a_burst_after_a_pause_loses_nothing(pulse: PulseServer, noise, is_child_stopped: bool) -> None:
    wav, values = noise
    microphone = Microphone(pulse.device)
    microphone.open(RATE_HZ)
    assert microphone._stream is not None
    pulse.play(wav)
    parts = [hear(microphone, RATE_HZ // 2)]
    if is_child_stopped:
        os.kill(microphone._stream.pid, signal.SIGSTOP)
    time.sleep(1.0)  # nobody reads: what is tested is the passing of time
    os.kill(microphone._stream.pid, signal.SIGCONT)
    while sum(map(len, parts)) < len(values):
        block = microphone.read()
        assert block is not None
        assert block.gap_reason is None
        parts.append(block.samples)
    microphone.close()
    np.testing.assert_array_equal(np.concatenate(parts)[: len(values)], values.astype(np.float32) / 32768)


@pytest.mark.parametrize("pulse_server", ["pipewire-alsa"], indirect=True)  # the others keep it: see A12
def test_A11_what_a_stopped_process_did_not_hear_is_a_gap_of_the_right_length(pulse: PulseServer) -> None:
    with contextlib.closing(Microphone(pulse.device)) as microphone:
        microphone.open(RATE_HZ)
        assert microphone._stream is not None
        assert microphone.read() is not None
        os.kill(microphone._stream.pid, signal.SIGSTOP)
        stopped_s = time.monotonic()
        time.sleep(1.0)  # how long it stands still is what is tested
        os.kill(microphone._stream.pid, signal.SIGCONT)
        lasted_s = time.monotonic() - stopped_s
        while (block := microphone.read()) is not None and block.gap_reason is None:
            pass
    assert block is not None
    assert block.lost_samples / RATE_HZ == pytest.approx(lasted_s, abs=0.25)


def test_A11_A12_a_server_that_stands_still_for_a_second_loses_nothing_unsaid(pulse: PulseServer) -> None:
    with contextlib.closing(Microphone(pulse.device)) as microphone:
        microphone.open(RATE_HZ)
        assert microphone.read() is not None
        start_s, heard = time.monotonic(), 0
        thaw = threading.Timer(1.0, pulse.thaw)
        pulse.freeze()
        thaw.start()
        while time.monotonic() - start_s < 3.5:
            block = microphone.read()
            assert block is not None
            heard += len(block.samples) + block.lost_samples
        thaw.join()
    assert heard / RATE_HZ == pytest.approx(time.monotonic() - start_s, abs=0.3)
