from __future__ import annotations

import json

import pytest

from streamgmm.audio.microphone.microphone import CaptureError, InputDevice
from tests.cli.cli_rig import run_cli

DEVICES = [
    InputDevice(
        index=0, name="USB [red]Mic[/red]", host_api="ALSA", max_channels=1, default_rate_hz=48000, is_default=False
    ),
    InputDevice(index=3, name="pulse", host_api="ALSA", max_channels=32, default_rate_hz=44100, is_default=True),
]


SOURCES = [
    InputDevice(
        index=None,
        name="alsa_input.usb-[red]Yeti",
        host_api="PulseAudio",
        max_channels=2,
        default_rate_hz=48000,
        is_default=False,
        description="Yeti [b]Stereo[/b]",
    ),
    InputDevice(
        index=None,
        name="sink.monitor",
        host_api="PulseAudio",
        max_channels=1,
        default_rate_hz=16000,
        is_default=True,
        description="Monitor of Sink",
        is_monitor=True,
    ),
]


@pytest.fixture
def _two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamgmm.cli.devices.list_devices", lambda: DEVICES)


@pytest.mark.usefixtures("_two_devices")
def test_the_table_marks_the_default_and_takes_names_literally(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_cli(capsys, "devices")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert rows[1] == ["0", "USB", "[red]Mic[/red]", "ALSA", "1", "48000"]
    assert rows[2] == ["*", "3", "pulse", "ALSA", "32", "44100"]


@pytest.mark.usefixtures("_two_devices")
def test_json_is_one_object_for_each_device(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.loads(line) for line in run_cli(capsys, "devices", "--json").out.splitlines()]
    assert [row["index"] for row in rows] == [0, 3]
    assert rows[0]["name"] == "USB [red]Mic[/red]"
    assert rows[1]["is_default"] is True


@pytest.mark.parametrize("devices", [SOURCES + DEVICES, SOURCES])
def test_sources_of_the_sound_server_come_first_and_monitors_are_marked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, devices: list[InputDevice]
) -> None:
    monkeypatch.setattr("streamgmm.cli.devices.list_devices", lambda: devices)
    code, out, err = run_cli(capsys, "devices")
    rows = [line.split() for line in out.splitlines()]
    assert (code, rows[0]) == (0, ["PulseAudio:"])
    assert rows[2] == ["alsa_input.usb-[red]Yeti", "Yeti", "[b]Stereo[/b]", "2", "48000"]
    assert rows[3] == ["*", "sink.monitor", "Monitor", "of", "Sink", "1", "16000", "monitor"]
    assert "'sink.monitor' is a monitor" in err
    assert ("libasound2-plugins" in err) is (devices == SOURCES)
    assert err.count("\n") == (2 if devices == SOURCES else 1)


def test_json_of_sources(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamgmm.cli.devices.list_devices", lambda: SOURCES + DEVICES)
    rows = [json.loads(line) for line in run_cli(capsys, "devices", "--json").out.splitlines()]
    assert [(row["index"], row["is_monitor"]) for row in rows] == [(None, False), (None, True), (0, False), (3, False)]
    assert rows[0]["description"] == "Yeti [b]Stereo[/b]"


def test_A1_no_device_is_one_line_and_69(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamgmm.cli.devices.list_devices", list)
    code, out, err = run_cli(capsys, "devices")
    assert (code, out) == (69, "")
    assert err.startswith("streamgmm: error: no input device was found (")


@pytest.mark.parametrize("arguments", [[], ["--test"]])
def test_A1_no_portaudio_is_one_line_and_69(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    def fail(*_: object) -> None:
        raise CaptureError("no_library", "PortAudio library not found", hint="install libportaudio2")

    monkeypatch.setattr("streamgmm.cli.devices.list_devices", fail)
    monkeypatch.setattr("streamgmm.audio.microphone.microphone.Microphone.open", fail)
    code, out, err = run_cli(capsys, "devices", *arguments)
    assert (code, out) == (69, "")
    assert err == "streamgmm: error: PortAudio library not found (install libportaudio2)\n"


@pytest.mark.parametrize("arguments", [["--test", "--json"], ["--device", "usb"], ["--seconds", "3"]])
def test_options_that_do_not_go_together_are_refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert run_cli(capsys, "devices", *arguments).code == 64


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "x"])
def test_a_test_lasts_a_positive_time(capsys: pytest.CaptureFixture[str], seconds: str) -> None:
    assert run_cli(capsys, "devices", "--test", f"--seconds={seconds}").code == 64
