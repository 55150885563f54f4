"""The sound servers that people have: what holds for the microphone is tested on each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.pipewire_rig import PipeWireServer, missing_pipewire_parts
from tests.pulse_rig import PulseServer, missing_parts
from tests.required import require_or_skip

SERVERS = ("pulseaudio", "pipewire", "pipewire-alsa")
"""PulseAudio; PipeWire by way of PulseAudio's plugin of ALSA; PipeWire by way of its own."""


def make_server(kind: str, directory: Path) -> PulseServer:
    """A server of one of `SERVERS` with its files below `directory`, not started; skips the test where parts lack."""
    is_native = kind == "pipewire-alsa"
    part = "pulse" if kind == "pulseaudio" else "pipewire"
    if missing := missing_parts() if part == "pulse" else missing_pipewire_parts(is_native=is_native):
        require_or_skip(part, f"missing {', '.join(missing)}")
    directory.mkdir(parents=True, exist_ok=True)
    return PulseServer(directory) if part == "pulse" else PipeWireServer(directory, is_native=is_native)


@contextlib.contextmanager
def sound_server(kind: str, directory: Path) -> Iterator[PulseServer]:
    """Such a server, not started, which ends with the context, frozen or not."""
    with contextlib.closing(make_server(kind, directory)) as server:
        yield server
        server.thaw()
