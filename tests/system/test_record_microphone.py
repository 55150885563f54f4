"""`streamgmm record` on real sound servers: what is played is what is in the files."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.cli.cli_rig import spawn_bytes
from tests.narrowing import present
from tests.pulse_rig import PulseServer, write_wav
from tests.system.run_rig import TIMEOUT_S, wait_until

RATE_HZ = 16000


class Recorder:
    """A `streamgmm record` whose messages are read all the time."""

    def __init__(self, *arguments: object, **settings: Any) -> None:
        self.process = spawn_bytes("record", *arguments, **{"stdin": subprocess.DEVNULL, **settings})
        self.log = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in present(self.process.stderr):
            with self._changed:
                self.log += line.decode()
                self._changed.notify_all()

    def wait_for(self, words: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: words in self.log, TIMEOUT_S), self.log

    def end(self) -> int:
        code = self.process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        assert "Traceback" not in self.log
        return code


@contextlib.contextmanager
def recording(server: PulseServer, *arguments: object, **settings: Any) -> Iterator[Recorder]:
    recorder = Recorder(*arguments, env=server.env, **settings)
    try:
        yield recorder
    finally:
        recorder.process.kill()
        recorder.process.wait()


@pytest.fixture
def sound(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Half a second of noise of which no sample is zero."""
    values = np.random.default_rng(1).integers(1000, 20000, RATE_HZ // 2).astype(np.int16)
    values[1::2] *= -1
    return write_wav(tmp_path / "sound.wav", values, RATE_HZ), values


def heard(path: Path) -> np.ndarray:
    samples, rate_hz = soundfile.read(path, dtype="int16")
    assert rate_hz == RATE_HZ
    return np.trim_zeros(samples)


def hear_something() -> None:
    # Nothing tells how much of a take there is, while it goes on.
    time.sleep(1.0)


def test_what_is_played_is_in_the_take_bit_by_bit(pulse: PulseServer, sound, tmp_path: Path) -> None:
    wav, values = sound
    with recording(pulse, "beep", "-o", tmp_path / "mine", "--takes", 2) as recorder:
        for n in (1, 2):
            recorder.wait_for(f"make the sound for take {n} of 2")
            pulse.play(wav, latency_ms=500).wait(TIMEOUT_S)
            recorder.wait_for(f"saved take {n} of 2:")
        assert recorder.end() == 0
    for name in ("beep_001.wav", "beep_002.wav"):
        np.testing.assert_array_equal(heard(tmp_path / "mine" / "beep" / name), values)
    assert b"streamgmm train" in present(recorder.process.stdout).read()


def test_A2_a_server_that_dies_midway_leaves_what_was_recorded(server: PulseServer, tmp_path: Path) -> None:
    server.start()
    with recording(server, "hum", "-o", tmp_path, "--seconds", 60) as recorder:
        recorder.wait_for("recording take 1 of 1")
        hear_something()
        server.kill()
        assert recorder.end() == 69, recorder.log
    assert "holds what was recorded so far" in recorder.log
    assert soundfile.info(tmp_path / "hum" / "hum_001.wav").duration > 0.5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_F1_F2_a_signal_keeps_what_was_recorded(pulse: PulseServer, tmp_path: Path, number: signal.Signals) -> None:
    with recording(pulse, "--background", 5, "-o", tmp_path) as recorder:
        recorder.wait_for("recording take 1 of 5")
        hear_something()
        recorder.process.send_signal(number)
        assert recorder.end() == -number
    assert "interrupted" in recorder.log
    assert soundfile.info(tmp_path / "background" / "background_001.wav").duration > 0.5
    assert not list(tmp_path.rglob("*.tmp"))


def test_on_a_terminal_there_is_a_meter_and_enter_begins_a_take(pulse: PulseServer, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    shown = bytearray()

    def read() -> None:
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 4096):
                shown.extend(piece)

    threading.Thread(target=read, daemon=True).start()
    env = {**pulse.env, "TERM": "xterm", "COLUMNS": "120", "LINES": "24"}
    process = spawn_bytes("record", "hum", "-o", tmp_path, "--seconds", 1, env=env, stdin=theirs, stderr=theirs)
    os.close(theirs)
    try:
        wait_until(lambda: b"press Enter for take 1 of 1" in shown, "no prompt")
        wait_until(lambda: b"waiting" in shown and "┃".encode() in shown, "no meter")
        assert not list(tmp_path.rglob("*.wav"))
        os.write(ours, b"\n")
        assert process.wait(TIMEOUT_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"recording 0." in shown
    assert soundfile.info(tmp_path / "hum" / "hum_001.wav").duration >= 1.0
