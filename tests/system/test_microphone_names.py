"""Sources of a sound server by name, on each sound server: found, waited for, and never another in their place."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator

import pytest

from streamgmm.audio.microphone.known_device import KnownDevice
from streamgmm.audio.microphone.microphone import CaptureError, Microphone, list_devices
from tests.cli.cli_rig import run_cli
from tests.pulse_rig import SINK, PulseServer
from tests.system.run_rig import TIMEOUT_S

RATE_HZ = 16000
MONITOR = f"{SINK}.monitor"
SOURCES = {"usb_yeti": "Yeti_Microphone", "usb_webcam": "HD_Webcam_C270"}


@pytest.fixture
def sources(pulse: PulseServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[PulseServer]:
    """The server with two more microphones, and no choice made by the environment."""
    monkeypatch.delenv("PULSE_SOURCE")
    for name in SOURCES:
        plug_in(pulse, name)
    pulse.pactl("set-default-source", MONITOR)
    yield pulse
    pulse.start()
    for name in SOURCES:
        unplug(pulse, name)


def plug_in(server: PulseServer, name: str) -> str:
    """Load a microphone; returns the number of its module."""
    properties = f"source_properties=device.description={SOURCES[name]}"
    return server.pactl("load-module", "module-remap-source", f"source_name={name}", f"master={MONITOR}", properties)


def unplug(server: PulseServer, name: str) -> None:
    for line in server.pactl("list", "short", "modules").splitlines():
        if f"source_name={name} " in line:
            server.pactl("unload-module", line.split()[0])


@contextlib.contextmanager
def opened(device: str | None, known: KnownDevice | None = None) -> Iterator[Microphone]:
    with contextlib.closing(Microphone(device, known=known)) as microphone:
        microphone.open(RATE_HZ)
        yield microphone


def source_of(microphone: Microphone) -> str:
    assert microphone.opened is not None
    assert microphone.opened.server_source is not None
    return microphone.opened.server_source.name


def move(server: PulseServer, source: str) -> None:
    """Do what a user does in a mixer, and again until the stream has been moved or has ended.

    PipeWire forgets a move now and then where the stream has the number of one that just ended.
    """
    sources = [line.split("\t") for line in server.pactl("list", "short", "sources").splitlines()]
    number_of = {name: number for number, name, *_ in sources}
    deadline_s = time.monotonic() + TIMEOUT_S
    while (stream := own_stream(server)) is not None and stream[1] != number_of[source]:
        assert time.monotonic() < deadline_s, f"the stream stays on {stream[1]}"
        with contextlib.suppress(subprocess.CalledProcessError):  # the stream may end before the server answers
            server.pactl("move-source-output", stream[0], source)
        wait_for_a_change(server, stream)


def own_stream(server: PulseServer) -> tuple[str, str] | None:
    """Return the numbers of our stream, which is the one that is marked, and of its source; None if it has ended."""
    for stream in server.pactl("list", "source-outputs").split("Source Output #")[1:]:
        if "streamgmm.capture" in stream:
            return stream.partition("\n")[0], stream.partition("Source: ")[2].partition("\n")[0]
    return None


def wait_for_a_change(server: PulseServer, stream: tuple[str, str]) -> None:
    deadline_s = time.monotonic() + 1.0
    while own_stream(server) == stream and time.monotonic() < deadline_s:
        time.sleep(0.01)


def failure(microphone: Microphone) -> CaptureError:
    deadline_s = time.monotonic() + TIMEOUT_S
    try:
        while microphone.read() is not None and time.monotonic() < deadline_s:
            pass
    except CaptureError as error:
        return error
    return pytest.fail(f"no error within {TIMEOUT_S:g} s")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("usb_yeti", "usb_yeti"),
        ("USB_Yeti", "usb_yeti"),
        (SOURCES["usb_yeti"], "usb_yeti"),
        ("yeti_mic", "usb_yeti"),
        ("c270", "usb_webcam"),
        (MONITOR, MONITOR),
    ],
)
def test_a_source_is_found_by_name(sources: PulseServer, wanted: str, expected: str) -> None:
    with opened(wanted) as microphone:
        assert source_of(microphone) == expected
        assert microphone.vitals().description == f"mic:{wanted} ({sources.device}, {expected})"
        assert microphone.read() is not None


def test_A31_a_name_that_means_two_sources_is_refused_with_both(sources: PulseServer) -> None:
    with pytest.raises(CaptureError, match="several sources fit: 'usb_yeti', 'usb_webcam'") as caught, opened("usb"):
        pass
    assert caught.value.reason == "ambiguous"


def test_A31_a_name_that_means_none_is_refused_with_those_there_are(sources: PulseServer) -> None:
    with pytest.raises(CaptureError, match="'usb_yeti', 'usb_webcam'") as caught, opened("gramophone"):
        pass
    assert caught.value.reason == "not_found"


def test_A7_a_source_that_is_unplugged_is_waited_for(sources: PulseServer) -> None:
    known = KnownDevice()
    with opened("usb_y", known) as microphone:
        unplug(sources, "usb_yeti")
        assert failure(microphone).reason in ("moved", "stalled", "child_exit")
    # A name that the part of the name would fit as well is not taken for it.
    stranger = sources.pactl("load-module", "module-remap-source", "source_name=usb_yodel", f"master={MONITOR}")
    for _ in range(2):
        with pytest.raises(CaptureError, match="source 'usb_yeti' cannot be opened"), opened("usb_y", known):
            pass
    plug_in(sources, "usb_yeti")
    with opened("usb_y", known) as microphone:
        assert source_of(microphone) == "usb_yeti"
        assert microphone.read() is not None
    sources.pactl("unload-module", stranger)


def test_A7_A23_a_restarted_server_without_the_source_gives_no_other(sources: PulseServer) -> None:
    known = KnownDevice()
    with opened("usb_webcam", known) as microphone:
        sources.kill()
        failure(microphone)
    sources.start()
    with pytest.raises(CaptureError, match="source 'usb_webcam' cannot be opened"), opened("usb_webcam", known):
        pass
    plug_in(sources, "usb_webcam")
    with opened("usb_webcam", known) as microphone:
        assert source_of(microphone) == "usb_webcam"


def test_A7_a_move_by_hand_is_undone_where_a_source_was_named(sources: PulseServer) -> None:
    known = KnownDevice()
    for _ in range(2):  # nor does the server remember it
        with opened("usb_yeti", known) as microphone:
            assert source_of(microphone) == "usb_yeti"
            move(sources, "usb_webcam")
            assert str(failure(microphone)).endswith("moved the stream from 'usb_yeti' to 'usb_webcam'")


def test_A7_a_move_by_hand_is_followed_where_none_was_named(
    sources: PulseServer, caplog: pytest.LogCaptureFixture
) -> None:
    known = KnownDevice()
    for before, after in [(MONITOR, "usb_yeti"), ("usb_yeti", "usb_webcam"), ("usb_webcam", MONITOR)]:
        with opened(None, known) as microphone:
            assert source_of(microphone) == before
            move(sources, after)
            assert failure(microphone).reason == "moved"
    with opened(None, known) as microphone:
        assert source_of(microphone) == MONITOR
    assert f"capture.source_changed from='{MONITOR}' to='usb_yeti'" in caplog.messages
    assert f"capture.source_changed from='usb_webcam' to='{MONITOR}'" in caplog.messages
    # It hears the machine itself by default; what a hand has chosen is nobody's oversight.
    assert len([message for message in caplog.messages if "is a monitor" in message]) == 1


def test_A7_another_default_source_is_noticed_and_followed(sources: PulseServer) -> None:
    known = KnownDevice()
    with opened(None, known) as microphone:
        sources.pactl("set-default-source", "usb_yeti")
        assert str(failure(microphone)).endswith(f"moved the stream from '{MONITOR}' to 'usb_yeti'")
    with opened(None, known) as microphone:
        assert source_of(microphone) == "usb_yeti"
    assert known.request(None) == {"device": None}


def test_A32_sources_are_listed_and_monitors_marked(sources: PulseServer, capsys: pytest.CaptureFixture[str]) -> None:
    listed = {device.name: device for device in list_devices() if device.index is None}
    assert {name: listed[name].description for name in SOURCES} == SOURCES
    assert [name for name in SOURCES if listed[name].is_monitor] == []
    assert listed[MONITOR].is_monitor
    assert listed[MONITOR].is_default
    code, out, err = run_cli(capsys, "devices")
    assert code == 0
    assert "Yeti_Microphone" in out
    assert f"the default source '{MONITOR}' is a monitor" in err


def test_a_test_on_a_pipe_is_one_line_a_second(
    sources: PulseServer, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    code, out, _ = run_cli(capsys, "devices", "--test", "--device", "yeti", "--seconds", "2")
    assert (code, len(out.splitlines())) == (0, 2)
    assert "is a monitor" not in caplog.text
    assert run_cli(capsys, "devices", "--test", "--seconds", "0.1").code == 0
    assert caplog.text.count("is a monitor") == 1
