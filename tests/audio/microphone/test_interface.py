"""Several sources on one interface, with a capture child that does as told and counts how often it is started."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from streamgmm.audio.choosing import plan_source
from streamgmm.audio.microphone import interface as interface_module
from streamgmm.audio.microphone import packet_queue
from streamgmm.audio.microphone.capture_process import CaptureError, Packet
from streamgmm.audio.microphone.interface import Interface, shared_interface
from streamgmm.audio.microphone.microphone import InterfaceChannel
from streamgmm.audio.microphone.packet_queue import PacketQueue
from streamgmm.settings.source import SourceSection
from tests.audio.microphone.test_microphone import RATE_HZ, fake
from tests.narrowing import of_type

TIMEOUT_S = 5.0
BLOCK_NS = 20_000_000
COUNTED = """
open(STARTS, "a").write(f"{REQUEST['n_channels']} {REQUEST['sample_rate_hz']}\\n")
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
def wide(n_channels, max_channels):
    answer(type="opened", device="fake", sample_rate_hz=16000, n_channels=n_channels, max_channels=max_channels)
"""
STEREO = "wide(2, 2)\nfor i in range(N): block([0.5, 0.25] * 320, n_channels=2, read_ns=i * 20_000_000)\nsignal.pause()"
Rig = Callable[[str], Interface]


@pytest.fixture
def starts(tmp_path: Path) -> Path:
    return tmp_path / "starts"


@pytest.fixture
def make(starts: Path) -> Rig:
    return lambda script: Interface("usb", command=fake(f"STARTS = {str(starts)!r}\n{COUNTED}{script}"))


def requests(starts: Path) -> list[str]:
    """The number of channels and the rate of each start of a child."""
    return starts.read_text().splitlines()


def opened(interface: Interface, channel: int, rate_hz: int = RATE_HZ) -> InterfaceChannel:
    source = InterfaceChannel(interface, channel)
    source.open(rate_hz)
    return source


def values_of(source: InterfaceChannel, n_blocks: int) -> set[float]:
    blocks = [source.read() for _ in range(n_blocks)]
    return {float(value) for block in blocks if block for value in block.samples}


def failure_of(source: InterfaceChannel) -> CaptureError:
    try:
        while source.read() is not None:
            pass
    except CaptureError as error:
        return error
    return pytest.fail("no failure")


def test_each_source_gets_its_channel_of_one_device(make: Rig, starts: Path) -> None:
    interface = make(STEREO.replace("N", "20"))
    with closing(opened(interface, 0)) as left, closing(opened(interface, 1)) as right:
        with ThreadPoolExecutor(2) as readers:
            results = [readers.submit(values_of, source, 20) for source in (left, right)]
            assert [result.result(TIMEOUT_S) for result in results] == [{0.5}, {0.25}]
        assert left.name == right.name == "mic:usb"
    assert requests(starts) == ["1 16000"]


def test_the_channels_of_all_are_wanted_before_the_first_opens(make: Rig, starts: Path) -> None:
    interface = make("wide(REQUEST['n_channels'], 32); signal.pause()")
    sources = [InterfaceChannel(interface, channel) for channel in (0, 5)]
    for source in sources:
        source.open(RATE_HZ)
    for source in sources:
        source.close()
    assert requests(starts) == ["6 16000"]


def test_A46_a_failure_reaches_each_source_and_the_device_is_opened_again_once(make: Rig, starts: Path) -> None:
    interface = make(STEREO.replace("N", "3").replace("signal.pause()", "sys.exit('gone')"))
    for _ in range(2):
        sources = [opened(interface, 0), opened(interface, 1)]
        errors = [failure_of(source) for source in sources]
        assert [error.reason for error in errors] == ["child_exit", "child_exit"]
        assert errors[0] is not errors[1]
        assert str(errors[0]) == str(errors[1]) == "mic:usb: the capture process ended: gone"
        assert [source.read() for source in sources] == [None, None]
        for source in sources:
            source.close()
    assert len(requests(starts)) == 2


def test_A3_A46_a_refusal_answers_all_that_ask_within_a_moment(
    make: Rig, starts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interface = make("answer(type='failed', reason='refused', error='busy')")
    for _ in range(3):
        with pytest.raises(CaptureError, match="mic:usb: busy"):
            opened(interface, 0)
    assert len(requests(starts)) == 1
    monkeypatch.setattr(interface_module, "SHARED_REFUSAL_S", 0.0)
    with pytest.raises(CaptureError, match="mic:usb: busy"):
        opened(interface, 0)
    assert len(requests(starts)) == 2


def test_A46_a_source_that_does_not_read_loses_its_own_sound_and_each_sample_is_counted(
    make: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packet_queue, "MAX_WAITING_BYTES", 10 * 320 * 8)
    interface = make(STEREO.replace("N", "200"))
    with closing(opened(interface, 0)) as reader, closing(opened(interface, 1)) as sleeper:
        heard = [reader.read() for _ in range(200)]
        assert {block.gap_reason for block in heard if block} == {None}
        assert sum(len(block.samples) for block in heard if block) == 200 * 320
        late = [sleeper.read() for _ in range(10)]
    assert [(block.lost_samples, block.gap_reason) for block in late[:2] if block] == [
        (190 * 320, "input_overflow"),
        (0, None),
    ]
    assert sum(len(block.samples) for block in late if block) == 10 * 320


def test_a_dropped_packet_leaves_its_count_and_its_overflow_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_queue, "MAX_WAITING_BYTES", 8)
    queue = PacketQueue()
    for i, has_overflowed in enumerate([False, True, False, False]):
        queue.put(Packet(i, 10, 0, has_overflowed, bytes(4)))
    first, second = queue.take(), queue.take()
    assert first == Packet(2, 10, 0, True, bytes(4), n_dropped_frames=20)
    assert second == Packet(3, 10, 0, False, bytes(4))
    assert queue.take() is None


def test_the_others_go_on_when_one_is_closed_and_the_last_ends_the_child(make: Rig) -> None:
    interface = make("wide(2, 2)\nwhile True:\n    signal.sigwait([signal.SIGUSR1]); block([0.5, 0.25], n_channels=2)")
    left, right = opened(interface, 0), opened(interface, 1)
    assert left._stream is not None
    pid = left._stream.pid
    with ThreadPoolExecutor(2) as readers:
        # Left comes first, and reads for both.
        results = [readers.submit(source.read) for source in (left, right)]
        left.close()
        os.kill(pid, signal.SIGUSR1)
        assert results[0].result(TIMEOUT_S) is None
        block = results[1].result(TIMEOUT_S)
        assert block is not None
        np.testing.assert_array_equal(block.samples, np.array([0.25], np.float32))
        waiting = readers.submit(right.read)
        start_s = time.monotonic()
        right.close()
        assert waiting.result(TIMEOUT_S) is None
        assert time.monotonic() - start_s < 1.0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_F31_a_source_that_needs_more_than_was_opened_has_the_device_opened_again(make: Rig, starts: Path) -> None:
    interface = make("wide(REQUEST['n_channels'], 32); block([0.5] * REQUEST['n_channels']); signal.pause()")
    first = opened(interface, 0)
    assert first.read() is not None
    second = opened(interface, 5)
    assert failure_of(first).reason == "reopened"
    first.close()
    again = opened(interface, 0)
    faster = InterfaceChannel(interface, 1)
    with ThreadPoolExecutor(1) as opener:
        opening = opener.submit(faster.open, 48000)
        opening.result(TIMEOUT_S)
    assert [failure_of(source).reason for source in (second, again)] == ["reopened", "reopened"]
    for source in (second, again, faster):
        source.close()
    assert requests(starts) == ["1 16000", "6 16000", "6 48000"]


def test_a_source_that_waits_for_the_device_waits_for_the_one_that_is_opened_in_its_place(
    make: Rig, starts: Path
) -> None:
    interface = make("[signal.pause() for _ in range(REQUEST['n_channels'] == 1)]; wide(6, 32); signal.pause()")
    first = InterfaceChannel(interface, 0)
    with ThreadPoolExecutor(1) as opener:
        opening = opener.submit(first.open, RATE_HZ)
        while not starts.exists() or not requests(starts):
            time.sleep(0.001)
        with closing(opened(interface, 5)), closing(first):
            opening.result(TIMEOUT_S)
            assert first.opened is not None
    assert requests(starts) == ["1 16000", "6 16000"]


def test_a_channel_that_the_device_lacks_concerns_one_source_alone(make: Rig, starts: Path) -> None:
    interface = make(STEREO.replace("N", "3"))
    with closing(opened(interface, 0)) as left:
        missing = InterfaceChannel(interface, 2)
        with pytest.raises(CaptureError, match=r"mic:usb: 'fake' has no channel 2 \(0 to 1 or mean\)") as caught:
            missing.open(RATE_HZ)
        missing.close()
        assert caught.value.reason == "no_channel"
        assert values_of(left, 3) == {0.5}
    assert len(requests(starts)) == 1


def test_sources_that_name_a_device_alike_share_it() -> None:
    usb = shared_interface("USB")
    assert shared_interface("usb") is usb
    assert shared_interface(None) is not usb
    assert shared_interface(3).name == "mic:3"


def test_F31_channels_are_wanted_as_long_as_a_plan_or_a_source_wants_them() -> None:
    """Settings that a reload rejects, or a source that is dropped, leave the others with their own channels."""
    plan = plan_source(SourceSection(uri="mic:wishes", channel=1))
    made = of_type(plan.make(), InterfaceChannel)
    rejected = plan_source(SourceSection(uri="mic:WISHES", channel=63))
    assert made._interface._n_wanted == 64
    del rejected
    gc.collect()
    assert made._interface._n_wanted == 2
    del plan
    gc.collect()
    assert made._interface._n_wanted == 2
