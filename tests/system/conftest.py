"""Fixtures of the tests on real parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgmm.audio.microphone.microphone import list_devices
from tests.pulse_rig import PulseServer
from tests.required import require_or_skip
from tests.sound_servers import SERVERS, sound_server


@pytest.fixture(autouse=True)
def no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty place for the user's settings."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config_home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "config_home"))


@pytest.fixture(scope="module", params=SERVERS)
def pulse_server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[PulseServer]:
    """One sound server of each kind per module."""
    with sound_server(request.param, tmp_path_factory.mktemp("pulse")) as server:
        server.start()
        with pytest.MonkeyPatch.context() as monkeypatch:
            for key, value in server.changes.items():
                monkeypatch.setenv(key, value)
            if server.device not in [device.name for device in list_devices()]:
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


@pytest.fixture(params=SERVERS)
def own_server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[PulseServer]:
    """A sound server of each kind that is not started yet, for tests that start and end it themselves."""
    with sound_server(request.param, tmp_path / "pulse") as server:
        yield server


@pytest.fixture
def server(own_server: PulseServer) -> PulseServer:
    """A server of the test's own, running."""
    own_server.start()
    return own_server
