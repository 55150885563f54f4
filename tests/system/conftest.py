"""Fixtures of the tests on real parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgmm.audio.microphone import list_devices
from tests.pulse_rig import PulseServer, missing_parts
from tests.required import require_or_skip


@pytest.fixture(autouse=True)
def no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty place for the user's settings."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config_home"))


@pytest.fixture(scope="module")
def pulse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulseServer]:
    """One sound server per module."""
    if missing := missing_parts():
        require_or_skip("pulse", f"missing {', '.join(missing)}")
    server = PulseServer(tmp_path_factory.mktemp("pulse"))
    server.start()
    with contextlib.closing(server):
        with pytest.MonkeyPatch.context() as monkeypatch:
            for key, value in server.changes.items():
                monkeypatch.setenv(key, value)
            if "pulse" not in [device.name for device in list_devices()]:
                require_or_skip("pulse", "ALSA has no plugin for it: install libasound2-plugins")
        yield server


@pytest.fixture
def pulse(pulse_server: PulseServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[PulseServer]:
    """The server, running, with the environment of this process set to it; thawed afterwards."""
    pulse_server.start()
    for key, value in pulse_server.changes.items():
        monkeypatch.setenv(key, value)
    yield pulse_server
    pulse_server.thaw()
