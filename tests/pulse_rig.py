"""A private PulseAudio whose null sink is the microphone: what is played into it is heard, bit by bit."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import wave
from collections.abc import Callable
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

SINK = "testsink"
START_TIMEOUT_S = 10.0
SERVER_COMMAND = (
    *("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1"),
    *("--realtime=no", "--high-priority=no", "--use-pid-file=no"),
)
TOOLS = ("pulseaudio", "paplay", "pactl")


def missing_parts() -> list[str]:
    """What this machine lacks for the rig; empty if nothing."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if find_spec("sounddevice") is None:
        missing.append("sounddevice")
    # What sounddevice itself looks for; importing that would start PortAudio in this process.
    if find_library("portaudio") is None:
        missing.append("libportaudio2")
    return missing


def wait_for_socket(path: Path, is_running: Callable[[], bool], log: Path) -> None:
    """Wait until somebody listens at `path`; an error with the text of `log` if nobody ever does."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                return probe.connect(str(path))
            except OSError:
                if time.monotonic() > deadline_s or not is_running():
                    raise RuntimeError(log.read_text()) from None
        time.sleep(0.01)


class PulseServer:
    """One server with its files below `directory`; `start` it, and `close` it at the end.

    Attributes:
        env: environment for programs that shall hear and play through this server.
        device: the device of PortAudio that leads to it.
    """

    def __init__(self, directory: Path, *, rate_hz: int = 16000, n_channels: int = 1) -> None:
        self._directory = directory
        self._socket = directory / "native"
        self._sink_arguments = f"sink_name={SINK} rate={rate_hz} channels={n_channels} format=s16le norewinds=1"
        self._process: subprocess.Popen[bytes] | None = None
        self._players: list[subprocess.Popen[bytes]] = []
        self.device = "pulse"
        self.changes = {
            "HOME": str(directory),
            "XDG_RUNTIME_DIR": str(directory),
            "PULSE_RUNTIME_PATH": str(directory),
            "PULSE_SERVER": f"unix:{self._socket}",
            "PULSE_SOURCE": f"{SINK}.monitor",
        }
        self.env = {**os.environ, **self.changes}

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers; harmless if it runs already."""
        if self.is_running:
            return
        self._socket.unlink(missing_ok=True)
        script = self._directory / "test.pa"
        script.write_text(
            f"load-module module-null-sink {self._sink_arguments}\n"
            f"set-default-sink {SINK}\n"
            f"set-default-source {SINK}.monitor\n"
            # Last, for whoever can connect finds the sink.
            f"load-module module-native-protocol-unix auth-anonymous=1 socket={self._socket}\n"
        )
        with (self._directory / "pulseaudio.log").open("wb") as log:
            env = {key: value for key, value in self.env.items() if key not in ("PULSE_SERVER", "PULSE_SOURCE")}
            self._process = subprocess.Popen([*SERVER_COMMAND, "-F", script], env=env, stdout=log, stderr=log)
        self._wait_for_socket()

    def _wait_for_socket(self) -> None:
        wait_for_socket(self._socket, lambda: self.is_running, self._directory / "pulseaudio.log")

    def pactl(self, *arguments: str) -> str:
        """Run `pactl` and give back what it prints."""
        result = subprocess.run(["pactl", *arguments], env=self.env, check=True, capture_output=True, timeout=10)
        return result.stdout.decode().strip()

    def play(self, wav: Path, *, latency_ms: int = 200, sink: str = SINK) -> subprocess.Popen[bytes]:
        """Somebody speaks: start playing a file; wait for the process to know the end.

        A player that is held up for longer than `latency_ms` leaves a hole of silence in what it plays.
        """
        command = ["paplay", f"--device={sink}", f"--latency-msec={latency_ms}", str(wav)]
        player = subprocess.Popen(command, env=self.env)
        self._players.append(player)
        return player

    def load_sink(self, arguments: str = "") -> None:
        """Plug in the microphone (again), by default as it was."""
        self.pactl("load-module", "module-null-sink", *(arguments or self._sink_arguments).split())
        self.pactl("set-default-sink", SINK)
        self.pactl("set-default-source", f"{SINK}.monitor")

    def unload_sink(self) -> None:
        """Unplug the microphone."""
        for line in self.pactl("list", "short", "modules").splitlines():
            if f"sink_name={SINK} " in line:
                self.pactl("unload-module", line.split()[0])

    def load_other_sink(self, name: str = "other") -> None:
        """Plug in another microphone, which is not the default."""
        self.pactl("load-module", "module-null-sink", f"sink_name={name}", "rate=16000", "channels=1", "norewinds=1")

    def suspend(self, is_suspended: bool) -> None:
        """Let the sink sleep: the sound of that time is lost without any error."""
        self.pactl("suspend-sink", SINK, str(int(is_suspended)))

    def kill(self) -> None:
        """End the server as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """The server hangs: neither data nor an error reaches its clients."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """The server goes on where it was frozen."""
        if self._process is not None and self.is_running:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End the server and all players."""
        for player in self._players:
            with contextlib.suppress(ProcessLookupError):
                player.kill()
            player.wait()
        self._players.clear()
        self.kill()


def write_wav(path: Path, samples: npt.NDArray[np.int16], rate_hz: int) -> Path:
    """A 16-bit WAV file; samples of shape (n,) or (n, channels)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return path
