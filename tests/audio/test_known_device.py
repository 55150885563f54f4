from __future__ import annotations

import pytest

from streamgmm.audio.known_device import KnownDevice


@pytest.mark.parametrize("device", [None, "usb"])
def test_what_was_asked_for_by_name_is_asked_for_by_name_again(device: str | None) -> None:
    known = KnownDevice()
    known.learn("USB Audio: - (hw:1,0)", None, 16000, 1)
    assert known.wanted(device) == device


def test_A7_an_index_is_good_once_and_then_it_is_the_name_that_counts() -> None:
    known = KnownDevice()
    assert known.wanted(3) == 3
    known.learn("USB Audio: - (hw:1,0)", None, 16000, 1)
    assert known.wanted(3) == "USB Audio: - (hw:1,0)"


def test_A7_A8_what_has_changed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    known = KnownDevice()
    known.learn("USB Audio: - (hw:1,0)", "a.monitor", 16000, 1)
    # The number of a card changes when devices come and go, and a server may not say its source every time.
    known.learn("USB Audio: - (hw:2,0)", None, 16000, 1)
    assert caplog.messages == []
    known.learn("USB Audio: - (hw:2,0)", "b.monitor", 44100, 2)
    known.learn("Webcam", "b.monitor", 44100, 2)
    assert caplog.messages == [
        "capture.source_changed from='a.monitor' to='b.monitor'",
        "capture.format rate_hz=44100 channels=2",
        "capture.device_changed from='USB Audio: - (hw:2,0)' to='Webcam'",
    ]
