from __future__ import annotations

import pytest

from streamgmm.audio.microphone.known_device import KnownDevice, ServerSource

YETI = ServerSource("alsa_input.usb-Yeti", "Yeti", is_chosen=True, is_fixed=True)
MONITOR = ServerSource("sink.monitor", "Monitor of Sink", is_monitor=True)


def source(name: str) -> ServerSource:
    return ServerSource(name)


def test_the_default_device_is_asked_for_as_the_default_again() -> None:
    known = KnownDevice()
    known.learn("USB Audio: - (hw:1,0)", None, 16000, 1)
    assert known.request(None) == {"device": None}


@pytest.mark.parametrize("device", [3, "usb", "USB Audio: - (hw:1,0)"])
def test_A7_an_index_or_a_part_of_a_name_is_good_once_and_then_it_is_the_name_that_counts(device: str | int) -> None:
    known = KnownDevice()
    assert known.request(device) == {"device": device}
    known.learn("USB Audio: - (hw:1,0)", None, 16000, 1)
    assert known.request(device) == {"device": "USB Audio: - (hw:1,0)"}


def test_A7_a_name_that_meant_a_source_means_that_source_from_then_on() -> None:
    known = KnownDevice()
    known.learn("pulse", YETI, 16000, 1)
    assert known.request("yeti") == {"device": "yeti", "pinned": {"name": YETI.name, "description": "Yeti"}}
    assert known.request(None) == {"device": None}


def test_a_move_is_followed_until_the_stream_is_back_on_the_default() -> None:
    known = KnownDevice()
    known.follow("other", is_default=False)
    assert known.request(None) == {"device": None, "followed": "other"}
    known.follow("default", is_default=True)
    assert known.request(None) == {"device": None}


def test_A7_A8_what_has_changed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    known = KnownDevice()
    known.learn("USB Audio: - (hw:1,0)", source("a.monitor"), 16000, 1)
    # The number of a card changes when devices come and go, and a server may not say its source every time.
    known.learn("USB Audio: - (hw:2,0)", None, 16000, 1)
    assert caplog.messages == []
    known.learn("USB Audio: - (hw:2,0)", source("b.monitor"), 44100, 2)
    known.learn("Webcam", source("b.monitor"), 44100, 2)
    assert caplog.messages == [
        "capture.source_changed from='a.monitor' to='b.monitor'",
        "capture.format rate_hz=44100 channels=2",
        "capture.device_changed from='USB Audio: - (hw:2,0)' to='Webcam'",
    ]


@pytest.mark.parametrize(
    ("opened", "n_warnings"),
    [
        (MONITOR, 1),
        (ServerSource("sink.monitor", is_monitor=True, is_chosen=True), 0),  # moved there by hand
        (ServerSource("sink.monitor", is_monitor=True, is_chosen=True, is_fixed=True), 0),  # asked for by name
        (YETI, 0),
        (source("mic"), 0),
        (None, 0),
    ],
)
def test_a_default_source_that_hears_the_machine_itself_is_warned_of_once(
    opened: ServerSource | None, n_warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    known = KnownDevice()
    for _ in range(3):
        known.learn("pulse", opened, 16000, 1)
    assert len(caplog.messages) == n_warnings
    assert all("is a monitor" in message and "mic:NAME" in message for message in caplog.messages)
