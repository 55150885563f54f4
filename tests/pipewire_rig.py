"""A private PipeWire with its session manager and its PulseAudio front, whose null sink is the microphone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from tests.pulse_rig import START_TIMEOUT_S, PulseServer, missing_parts, wait_for_socket

ALSA_FOLDER = Path("/usr/share/alsa")
PLUGIN = "libasound_module_pcm_pipewire.so"
TOOLS = ("pipewire", "pipewire-pulse", "wireplumber", "dbus-daemon")

# One rate and a short period throughout, so that no sample is altered and none waits for long.
CLOCK = """
context.properties = {
    default.clock.rate = 16000
    default.clock.allowed-rates = [ 16000 ]
    default.clock.quantum = 256
    default.clock.min-quantum = 64
    default.clock.max-quantum = 512
}
"""

# All that the session manager does but for the devices of this machine, which are not the tests' to take.
COMPONENTS = """
load_module("metadata")
default_access.enable()
device_defaults.enable()
stream_defaults.enable()
load_script("intended-roles.lua")
load_script("suspend-node.lua")
"""


def unpacked_plugin() -> Path | None:
    """Where `pipewire-alsa` was unpacked (STREAMGMM_PIPEWIRE_ALSA): it cannot be installed beside PulseAudio."""
    folder = os.environ.get("STREAMGMM_PIPEWIRE_ALSA")
    return Path(folder).absolute() if folder else None


def _plugin_file() -> Path | None:
    return next((unpacked_plugin() or Path("/nonexistent")).glob(f"usr/lib/*/alsa-lib/{PLUGIN}"), None)


def missing_pipewire_parts(*, is_native: bool) -> list[str]:
    """What this machine lacks for the rig; empty if nothing.

    Args:
        is_native: whether streams shall come by way of `pipewire-alsa`.
    """
    missing = [*missing_parts(), *(tool for tool in TOOLS if shutil.which(tool) is None)]
    if is_native and _plugin_file() is None:
        missing.append("pipewire-alsa (unpack it, and name the folder in STREAMGMM_PIPEWIRE_ALSA)")
    return missing


class PipeWireServer(PulseServer):
    """PipeWire in place of PulseAudio.

    Args:
        directory: for its files.
        is_native: whether ALSA's streams come by way of `pipewire-alsa`, or by PulseAudio's plugin of ALSA.
    """

    def __init__(self, directory: Path, *, is_native: bool) -> None:
        super().__init__(directory)
        self._socket = directory / "pulse" / "native"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.changes |= {
            "PULSE_RUNTIME_PATH": str(directory / "pulse"),
            "PULSE_SERVER": f"unix:{self._socket}",
            "PIPEWIRE_RUNTIME_DIR": str(directory),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={directory}/bus",
        }
        if is_native:
            self.device = "pipewire"
            self.changes |= self._alsa_changes()
        self.env = {**os.environ, **self.changes}

    def _alsa_changes(self) -> dict[str, str]:
        """Have ALSA know PipeWire's plugin and no other."""
        plugin = _plugin_file()
        assert plugin is not None
        config = (ALSA_FOLDER / "alsa.conf").read_text()
        theirs = f"{unpacked_plugin()}/usr/share/alsa/alsa.conf.d"
        path = self._directory / "alsa.conf"
        path.write_text(config.replace('"/etc/alsa/conf.d"', f'"{theirs}"'))
        return {"ALSA_CONFIG_PATH": str(path), "ALSA_PLUGIN_DIR": str(plugin.parent)}

    @property
    def is_running(self) -> bool:
        process = self._processes.get("pipewire")
        return process is not None and process.poll() is None

    def start(self) -> None:
        """Start all parts and wait until the microphone is there; harmless if they run already."""
        if self.is_running:
            return
        self.kill()
        for path in ("bus", "pipewire-0", "pulse/native"):
            (self._directory / path).unlink(missing_ok=True)
        self._write_settings()
        bus = f"--address=unix:path={self._directory}/bus"
        self._launch("dbus-daemon", "--session", "--nofork", "--nopidfile", bus, listens_at="bus")
        self._launch("pipewire", listens_at="pipewire-0")
        self._launch("wireplumber")
        self._launch("pipewire-pulse", listens_at="pulse/native")
        self._wait_for_session()
        self.load_sink()

    def _wait_for_session(self) -> None:
        """Wait until the session manager keeps the defaults: before, none can be set."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while self.pactl("get-default-sink").startswith("@"):
            if time.monotonic() > deadline_s:
                raise RuntimeError((self._directory / "wireplumber.log").read_text())
            time.sleep(0.01)

    def _write_settings(self) -> None:
        settings = {
            "pipewire/pipewire.conf.d/clock.conf": CLOCK,
            "wireplumber/main.lua.d/90-enable-all.lua": COMPONENTS,
            "wireplumber/bluetooth.lua.d/90-enable-all.lua": "",
        }
        for name, text in settings.items():
            path = self._directory / "config" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (self._directory / "pulse").mkdir(exist_ok=True)

    def _launch(self, *command: str, listens_at: str = "") -> None:
        name = command[0]
        own = {"XDG_CONFIG_HOME": f"{self._directory}/config", "XDG_STATE_HOME": f"{self._directory}/state"}
        env = {key: value for key, value in self.env.items() if not key.startswith(("PULSE_", "ALSA_"))}
        path = self._directory / f"{name}.log"
        with path.open("wb") as log:
            self._processes[name] = subprocess.Popen(command, env=env | own, stdout=log, stderr=log)
        if listens_at:
            wait_for_socket(self._directory / listens_at, lambda: self._processes[name].poll() is None, path)

    def _signal(self, number: signal.Signals, names: Iterable[str]) -> None:
        for name in names:
            with contextlib.suppress(KeyError):
                if self._processes[name].poll() is None:
                    self._processes[name].send_signal(number)

    def kill(self) -> None:
        """End all parts as a crash would."""
        self._signal(signal.SIGKILL, self._processes)
        for process in self._processes.values():
            process.wait()
        self._processes.clear()

    def freeze(self) -> None:
        """The server hangs: neither data nor an error reaches its clients."""
        self._signal(signal.SIGSTOP, ["pipewire", "pipewire-pulse"])

    def thaw(self) -> None:
        """The server goes on where it was frozen."""
        self._signal(signal.SIGCONT, ["pipewire", "pipewire-pulse"])
