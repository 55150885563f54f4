"""The capture child as a process, on a stand-in for sounddevice that does as told."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamgmm.audio.microphone.capture_child import BLOCK_HEADER
from streamgmm.audio.microphone.microphone import CAPTURE_COMMAND, CaptureError, Microphone, list_devices

Start = Callable[[dict[str, Any]], "subprocess.Popen[bytes]"]
TIMEOUT_S = 5

STAND_IN = """
import json, os, signal, struct

class PortAudioError(Exception):
    pass

class default:
    device = [1, -1]

DEVICES = [
    dict(name="Speaker", hostapi=0, max_input_channels=0, default_samplerate=44100.0),
    dict(name="USB Microphone", hostapi=0, max_input_channels=2, default_samplerate=44100.0),
    dict(name="pulse", hostapi=0, max_input_channels=32, default_samplerate=44100.0),
]

def query_devices():
    return DEVICES

def query_hostapis(index):
    return dict(name="ALSA")

def check_input_settings(samplerate, **settings):
    if samplerate != 44100:
        raise PortAudioError("Invalid sample rate")

class RawInputStream:
    read_available = 7

    def __init__(self, samplerate, blocksize, latency, device, channels, dtype):
        assert dtype == "float32"
        self.samplerate, self.blocksize, self.channels = samplerate, blocksize, channels
        self.n_reads = 0

    def start(self):
        print("a library that greets on stdout", flush=True)

    def read(self, n_frames):
        self.n_reads += 1
        if self.n_reads == 3:
            AT_THIRD_READ
        values = [self.n_reads] * n_frames * self.channels
        return struct.pack(f"={len(values)}f", *values), self.n_reads == 2
"""
FAIL = 'raise PortAudioError("Unanticipated host error")'
HANG = "signal.pause()"
REQUEST = {"device": None, "n_channels": 1, "sample_rate_hz": 16000}


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a module `sounddevice` before the real one, and no sound server, in child processes."""
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/none")

    def write(source: str) -> None:
        (tmp_path / "sounddevice.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return write


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start(request: dict[str, Any]) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        command = [*CAPTURE_COMMAND, json.dumps(request)]
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        with process:  # closes its pipes and waits
            pass


def read_answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def read_block(process: subprocess.Popen[bytes], n_channels: int) -> tuple[Any, tuple[float, ...]]:
    assert process.stdout is not None
    header = BLOCK_HEADER.unpack(process.stdout.read(BLOCK_HEADER.size))
    n_values = header[1] * n_channels
    return header, struct.unpack(f"={n_values}f", process.stdout.read(4 * n_values))


def test_A9_protocol_at_the_rate_of_the_device(stand_in: Callable[[str], None], start: Start) -> None:
    stand_in(STAND_IN.replace("AT_THIRD_READ", FAIL))
    process = start(REQUEST)
    assert read_answer(process) == {
        "type": "opened",
        "device": "USB Microphone",
        "sample_rate_hz": 44100,
        "n_channels": 2,
        "max_channels": 2,
        "server_source": None,
    }
    first, values = read_block(process, 2)
    assert first[1:] == (882, 7, False)
    assert values == (1.0,) * 1764
    second, values = read_block(process, 2)
    assert second[0] >= first[0] > 0
    assert second[1:] == (882, 7, True)
    assert values == (2.0,) * 1764
    assert process.wait(TIMEOUT_S) == 1
    assert process.stderr is not None
    assert process.stderr.read() == b"a library that greets on stdout\nPortAudioError: Unanticipated host error\n"


@pytest.mark.parametrize(
    ("rate_hz", "n_block_frames", "expected"),
    [(44100, 5120, 5120), (44100, 100, 100), (44100, None, 882), (16000, 2048, 882)],
)
def test_blocks_are_as_long_as_is_asked_at_the_rate_that_is_asked(
    stand_in: Callable[[str], None], rate_hz: int, n_block_frames: int | None, expected: int
) -> None:
    stand_in(STAND_IN.replace("AT_THIRD_READ", FAIL))
    microphone = Microphone("usb", 1)
    microphone.open(rate_hz, n_block_frames)
    assert microphone.opened is not None
    assert microphone._stream is not None
    assert microphone.opened.sample_rate_hz == 44100
    packet = microphone._stream.read(microphone._queue)
    assert packet is not None
    assert packet.n_frames == expected


def test_A2_the_parent_quotes_the_read_error(stand_in: Callable[[str], None]) -> None:
    stand_in(STAND_IN.replace("AT_THIRD_READ", FAIL))
    microphone = Microphone("usb", 1)
    microphone.open(44100)
    assert [(b.gap_reason, len(b.samples)) for b in (microphone.read(), microphone.read()) if b] == [
        (None, 882),
        ("input_overflow", 882),
    ]
    with pytest.raises(CaptureError, match="mic:usb: the capture process ended: PortAudioError: Unanticipated"):
        microphone.read()


def end_stdin(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()


@pytest.mark.parametrize(
    ("end", "exit_code"),
    [(end_stdin, 0), (lambda process: process.terminate(), -signal.SIGTERM)],
    ids=["parent gone", "SIGTERM"],
)
def test_A4_ends_at_once_although_portaudio_hangs(
    stand_in: Callable[[str], None], start: Start, end: Callable[[Any], None], exit_code: int
) -> None:
    stand_in(STAND_IN.replace("AT_THIRD_READ", HANG))
    process = start(REQUEST)
    assert read_answer(process)["type"] == "opened"
    end(process)
    assert process.wait(TIMEOUT_S) == exit_code


def test_A6_parent_gone_while_the_import_hangs(stand_in: Callable[[str], None], start: Start) -> None:
    stand_in("import signal; signal.pause()")
    process = start(REQUEST)
    end_stdin(process)
    assert process.wait(TIMEOUT_S) == 0


def test_ends_when_nobody_reads_any_more(stand_in: Callable[[str], None], start: Start) -> None:
    stand_in(STAND_IN.replace("AT_THIRD_READ", "pass"))
    process = start(REQUEST)
    assert read_answer(process)["type"] == "opened"
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(TIMEOUT_S) == 0


def test_ctrl_c_is_left_to_the_parent(stand_in: Callable[[str], None], start: Start) -> None:
    stand_in(STAND_IN.replace("AT_THIRD_READ", "pass"))
    process = start(REQUEST)
    assert read_answer(process)["type"] == "opened"
    os.kill(process.pid, signal.SIGINT)
    for _ in range(100):  # more than any pipe holds
        read_block(process, 2)
    assert process.poll() is None


def test_missing_portaudio_says_what_to_install(stand_in: Callable[[str], None]) -> None:
    stand_in("raise OSError('PortAudio library not found')")
    with pytest.raises(
        CaptureError, match=r"mic: PortAudio library not found \(.*apt-get install libportaudio2"
    ) as caught:
        Microphone().open(16000)
    assert caught.value.reason == "no_library"
    with pytest.raises(CaptureError, match="devices: PortAudio library not found"):
        list_devices()


def test_missing_sounddevice(stand_in: Callable[[str], None]) -> None:
    stand_in("raise ImportError('No module named sounddevice')")
    with pytest.raises(CaptureError, match=r"pip install sounddevice") as caught:
        Microphone().open(16000)
    assert caught.value.reason == "no_library"


def test_a_device_that_refuses(stand_in: Callable[[str], None]) -> None:
    stand_in(STAND_IN.replace("AT_THIRD_READ", "pass").replace('print("a library', 'raise PortAudioError("busy") #'))
    with pytest.raises(CaptureError, match=r"mic:usb: 'USB Microphone' cannot be opened: busy") as caught:
        Microphone("usb").open(16000)
    assert caught.value.reason == "refused"


def test_only_inputs_are_listed(stand_in: Callable[[str], None]) -> None:
    stand_in(STAND_IN)
    assert [(d.index, d.name, d.is_default) for d in list_devices()] == [
        (1, "USB Microphone", True),
        (2, "pulse", False),
    ]
