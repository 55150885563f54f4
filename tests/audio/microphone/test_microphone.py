"""The microphone, with a child that speaks the protocol and misbehaves as told."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from streamgmm.audio.microphone.capture_child import BLOCK_HEADER
from streamgmm.audio.microphone.capture_process import Timeouts
from streamgmm.audio.microphone.known_device import KnownDevice
from streamgmm.audio.microphone.microphone import CaptureError, InputDevice, Microphone, list_devices
from streamgmm.audio.resample import resample, warn_if_narrow
from streamgmm.audio.source import Block
from streamgmm.errors import DeviceError

RATE_HZ = 16000
CLOSE_LIMIT_S = 0.1
PRELUDE = f"""
import json, os, signal, struct, sys, time
REQUEST = json.loads(sys.argv[1])
def answer(**fields):
    os.write(1, json.dumps(fields).encode() + b"\\n")
def opened(sample_rate_hz={RATE_HZ}, n_channels=1):
    answer(type="opened", device="fake", sample_rate_hz=sample_rate_hz, n_channels=n_channels)
def packed(values, n_channels=1, read_ns=0, n_pending=0, overflowed=False):
    header = struct.pack({BLOCK_HEADER.format!r}, read_ns, len(values) // n_channels, n_pending, overflowed)
    return header + struct.pack(f"={{len(values)}}f", *values)
def block(values, **fields):
    os.write(1, packed(values, **fields))
"""
READ_AND_WAIT = "opened(); block([0.5]); signal.pause()"


def fake(script: str) -> list[str]:
    return [sys.executable, "-S", "-c", PRELUDE + script]


def microphone(script: str, **settings: Any) -> Microphone:
    return Microphone(**settings, command=fake(script))


def opened(script: str, rate_hz: int = RATE_HZ, **settings: Any) -> Microphone:
    result = microphone(script, **settings)
    result.open(rate_hz)
    return result


def blocks_until_failure(source: Microphone) -> Iterator[np.ndarray]:
    try:
        while block := source.read():
            yield block.samples
    except CaptureError:
        return


def refusal(script: str, **settings: Any) -> CaptureError:
    with pytest.raises(CaptureError) as caught:
        opened(script, **settings)
    return caught.value


def failure_after(source: Microphone, n_blocks: int) -> CaptureError:
    for _ in range(n_blocks):
        assert source.read() is not None
    with pytest.raises(CaptureError) as caught:
        source.read()
    return caught.value


def test_the_request_reaches_the_child() -> None:
    script = "answer(type='failed', reason='refused', error=json.dumps(REQUEST, sort_keys=True))"
    error = refusal(script, device="usb", channel=3)
    assert '{"device": "usb", "n_channels": 4, "sample_rate_hz": 16000}' in str(error)


@pytest.mark.parametrize("reason", ["no_library", "not_found", "ambiguous", "no_channel", "refused"])
def test_A1_a_refusal_is_one_line_with_its_hint(reason: str) -> None:
    error = refusal(f"answer(type='failed', reason={reason!r}, error='so it is', hint='do this')", device=7)
    assert isinstance(error, DeviceError)
    assert error.exit_code == 69
    assert error.reason == reason
    assert str(error) == "mic:7: so it is (do this)"


@pytest.mark.parametrize(
    "line",
    ["hello", "{}", '{"type":"opened"}', '{"type":"opened","device":"x","sample_rate_hz":0,"n_channels":1}',
     '{"type":"devices","devices":[]}', "\\xff"],
)  # fmt: skip
def test_an_answer_of_another_protocol_is_refused(line: str) -> None:
    assert refusal(f"os.write(1, {line!r}.encode('latin-1') + b'\\n')").reason == "protocol"


def test_A6_open_has_a_time_limit() -> None:
    error = refusal("signal.pause()", timeouts=Timeouts(open_s=0.3))
    assert error.reason == "open_timeout"
    assert str(error) == "mic: no answer for 0.3 s (is the sound server frozen?)"


def test_A6_close_from_another_thread_ends_open() -> None:
    source = microphone("signal.pause()")
    with ThreadPoolExecutor(1) as opener:
        result = opener.submit(source.open, RATE_HZ)
        while source._stream is None:
            time.sleep(0.001)
        source.close()
        result.result(1)
    assert source.read() is None


def test_A5_no_first_block() -> None:
    source = opened("opened(); signal.pause()", timeouts=Timeouts(first_block_s=0.2))
    assert failure_after(source, 0).reason == "no_first_block"


def test_A4_stalled_after_a_block() -> None:
    source = opened(READ_AND_WAIT, timeouts=Timeouts(stall_s=0.2))
    assert failure_after(source, 1).reason == "stalled"
    assert source.read() is None


def test_A4_a_frozen_child_is_closed_at_once_while_somebody_reads() -> None:
    source = opened("opened(); block([0.5]); os.kill(os.getpid(), signal.SIGSTOP)")
    assert source.read() is not None
    with ThreadPoolExecutor(1) as reader:
        result = reader.submit(source.read)
        start_s = time.monotonic()
        source.close()
        assert time.monotonic() - start_s < CLOSE_LIMIT_S
        assert result.result(1) is None


def test_A25_death_by_signal_is_reported() -> None:
    source = opened("opened(); block([0.5]); os.kill(os.getpid(), signal.SIGSEGV)", device="usb")
    error = failure_after(source, 1)
    assert error.reason == "child_exit"
    assert str(error) == "mic:usb: the capture process ended: killed by SIGSEGV"


def test_A2_a_read_error_is_reported_in_the_words_of_the_child() -> None:
    error = failure_after(opened("opened(); block([0.5]); sys.exit('PortAudioError: Unanticipated host error')"), 1)
    assert error.reason == "child_exit"
    assert "Unanticipated host error" in str(error)


@pytest.mark.parametrize("n_bytes", [1, 7, 18, 1000])
def test_A20_blocks_survive_any_cut(n_bytes: int) -> None:
    script = f"""
opened()
stream = b"".join(packed([n / 64 for n in range(start, start + 5)]) for start in range(0, 30, 5))
for start in range(0, len(stream), {n_bytes}):
    os.write(1, stream[start : start + {n_bytes}])
"""
    samples = np.concatenate(list(blocks_until_failure(opened(script))))
    np.testing.assert_array_equal(samples, np.arange(30, dtype=np.float32) / 64)


def test_A20_a_partial_block_at_the_end_is_discarded() -> None:
    source = opened("opened(); block([0.5]); os.write(1, packed([0.1, 0.2, 0.3])[:-5])")
    assert [block.tolist() for block in blocks_until_failure(source)] == [[0.5]]


@pytest.mark.parametrize("n_frames", [0, 2**32 - 1])
def test_a_block_of_absurd_size_is_refused_before_it_is_read(n_frames: int) -> None:
    source = opened(
        f"opened(); os.write(1, struct.pack({BLOCK_HEADER.format!r}, 0, {n_frames}, 0, False)); signal.pause()"
    )
    assert failure_after(source, 0).reason == "protocol"


def test_A17_nan_and_infinity_pass_untouched() -> None:
    source = opened("opened(); block([float('nan'), float('inf'), float('-inf'), 1.0]); signal.pause()")
    block = source.read()
    source.close()
    assert block is not None
    np.testing.assert_array_equal(block.samples, np.array([np.nan, np.inf, -np.inf, 1.0], np.float32))


def test_A26_a_flood_on_stderr_neither_stops_the_sound_nor_grows() -> None:
    source = opened("opened()\nfor _ in range(100): os.write(2, b'x' * 1_000_000)\nblock([0.5]); signal.pause()")
    block = source.read()
    assert block is not None
    assert block.samples.tolist() == [0.5]
    source.close()


def test_A10_overflow_says_how_much_is_missing_by_the_clock() -> None:
    second_ns = 1_000_000_000
    script = f"""
opened()
block([0.0] * 320, read_ns=0, n_pending=100)
block([0.0] * 320, read_ns={second_ns // 50}, n_pending=100)
block([0.0] * 320, read_ns={second_ns}, n_pending=20, overflowed=True)
block([0.0] * 320, read_ns={second_ns}, n_pending=0, overflowed=True)
signal.pause()
"""
    source = opened(script)
    blocks = [source.read() for _ in range(4)]
    source.close()
    # 0.98 s were due: 15680 samples; 320 came, and the driver holds 80 less than before.
    assert [(b.lost_samples, b.gap_reason) for b in blocks if b] == [
        (0, None),
        (0, None),
        (15680 - 320 + 80, "input_overflow"),
        (0, "input_overflow"),
    ]


def test_A10_overflow_before_the_first_block_has_nothing_to_count_from() -> None:
    source = opened("opened(); block([0.5], read_ns=5, overflowed=True); signal.pause()")
    block = source.read()
    source.close()
    assert block is not None
    assert block[1:] == (0, "input_overflow")


def test_A10_loss_is_counted_at_the_rate_of_the_model() -> None:
    script = """
opened(48000)
block([0.0] * 960)
block([0.0] * 960, read_ns=1_020_000_000, overflowed=True)
signal.pause()
"""
    source = opened(script)
    blocks: list[Block] = []
    while not blocks or blocks[-1].gap_reason is None:
        block = source.read()
        assert block is not None
        blocks.append(block)
    source.close()
    assert blocks[-1].lost_samples == RATE_HZ


@pytest.mark.parametrize(("channel", "expected"), [("mean", [0.25, 0.5]), (0, [0.5, 1.0]), (1, [0.0, 0.0])])
def test_channels(channel: Any, expected: list[float]) -> None:
    source = opened("opened(n_channels=2); block([0.5, 0, 1, 0], n_channels=2); signal.pause()", channel=channel)
    block = source.read()
    source.close()
    assert block is not None
    assert block.samples.dtype == np.float32
    assert block.samples.tolist() == expected


def test_a_channel_that_was_not_opened() -> None:
    assert refusal("opened(); signal.pause()", channel=1).reason == "no_channel"


def test_A9_a_device_of_another_rate_is_resampled() -> None:
    values = np.sin(np.arange(48000) * 2 * np.pi * 1000 / 48000).astype(np.float32)
    script = """
import math
opened(48000)
for start in range(0, 48000, 960):
    block([math.sin(n * 2 * math.pi * 1000 / 48000) for n in range(start, start + 960)])
"""
    source = opened(script)
    assert source.opened is not None
    assert source.opened.sample_rate_hz == 48000
    samples = np.concatenate(list(blocks_until_failure(source)))
    assert len(samples) > 0.9 * RATE_HZ
    np.testing.assert_allclose(samples, resample(values, 48000, RATE_HZ)[: len(samples)], atol=1e-6)


def test_A9_what_a_model_misses_through_a_device_of_a_lower_rate_is_told(caplog: pytest.LogCaptureFixture) -> None:
    warn_if_narrow.cache_clear()
    opened("opened(8000); signal.pause()").close()
    assert "at 8000 Hz" in caplog.text
    assert "above 4000 Hz is missing" in caplog.text


def test_close_before_open_and_twice() -> None:
    source = microphone(READ_AND_WAIT)
    assert source.read() is None
    source.close()
    source.close()
    source.open(RATE_HZ)
    assert source.read() is None


def test_close_leaves_no_process() -> None:
    source = opened(READ_AND_WAIT)
    assert source._stream is not None
    pid = source._stream.pid
    source.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(("device", "name"), [(None, "mic"), (3, "mic:3"), ("USB", "mic:USB")])
def test_name(device: Any, name: str) -> None:
    assert Microphone(device).name == name
    assert Microphone(device).is_live


def test_devices_are_listed() -> None:
    script = """
assert REQUEST == {"list": True}
usb = dict(index=1, name="USB", host_api="ALSA", max_channels=2, default_rate_hz=44100, is_default=True)
answer(type="devices", devices=[usb])
"""
    assert list_devices(5, command=fake(script)) == [
        InputDevice(index=1, name="USB", host_api="ALSA", max_channels=2, default_rate_hz=44100, is_default=True)
    ]


def test_A6_listing_has_a_time_limit() -> None:
    with pytest.raises(CaptureError, match="devices: no answer") as caught:
        list_devices(0.2, command=fake("signal.pause()"))
    assert caught.value.reason == "open_timeout"


def test_listing_that_answers_something_else() -> None:
    with pytest.raises(CaptureError, match="did not list devices"):
        list_devices(5, command=fake("opened()"))


@pytest.mark.parametrize("is_default", [False, True])
def test_A7_a_move_ends_the_microphone_and_is_asked_for_again_if_it_is_not_the_default(is_default: bool) -> None:
    known = KnownDevice()
    moved = {"type": "moved", "from_source": "a", "to_source": "b", "is_default": is_default}
    script = f"""
opened(); block([0.5])
line = json.dumps({moved!r}).encode()
os.write(1, struct.pack({BLOCK_HEADER.format!r}, 0, 0, len(line), False) + line)
"""
    source = opened(script, known=known)
    error = failure_after(source, 1)
    assert error.reason == "moved"
    assert str(error) == "mic: the sound server moved the stream from 'a' to 'b'"
    assert known.request(None).get("followed") == (None if is_default else "b")


@pytest.mark.parametrize("answer", [b"{}", b"\xff", b"[]", b'{"type":"opened"}', b"0"])
def test_an_end_of_another_protocol_is_refused(answer: bytes) -> None:
    source = opened(
        f"opened(); os.write(1, struct.pack({BLOCK_HEADER.format!r}, 0, 0, {len(answer)}, False) + {answer!r})"
    )
    assert failure_after(source, 0).reason == "protocol"


SECOND_NS = 1_000_000_000
SILENT_LOSS = f"""
opened()
for i in range(100):
    block([i / 128] * 320, read_ns=i * {SECOND_NS // 50})
for i in range(100, 200):
    block([i / 256] * 320, read_ns=(i + LOST) * {SECOND_NS // 50})
signal.pause()
"""


def test_A11_a_silent_loss_is_a_gap_where_the_sound_is_missing() -> None:
    source = opened(SILENT_LOSS.replace("LOST", "60"))
    blocks = [source.read() for _ in range(150)]
    source.close()
    gaps = [(i, b.lost_samples, b.gap_reason) for i, b in enumerate(blocks) if b and b.gap_reason]
    ((at, lost_samples, reason),) = gaps
    assert (at, reason) == (100, "driver_loss")
    assert lost_samples == pytest.approx(60 * 320, abs=320)
    # What came after it was held back until it was certain, and nothing of it is missing.
    assert [float(b.samples[0]) for b in blocks if b and len(b.samples)][99:102] == [99 / 128, 100 / 256, 101 / 256]


def test_A12_a_burst_is_passed_on_without_a_gap() -> None:
    script = f"""
opened()
for i in range(300):
    block([0.5] * 320, read_ns=(max(i, 150) if 50 < i <= 150 else i) * {SECOND_NS // 50})
signal.pause()
"""
    source = opened(script)
    blocks = [source.read() for _ in range(300)]
    source.close()
    assert {b.gap_reason for b in blocks if b} == {None}


def test_A8_the_same_device_with_another_rate_and_more_channels_is_heard_at_the_rate_of_the_model(
    caplog: pytest.LogCaptureFixture,
) -> None:
    known = KnownDevice()
    for settings in ("16000, 1", "44100, 2"):
        n_channels = int(settings[-1])
        script = f"opened({settings})\nfor _ in range(20): block([0.5] * 882 * {n_channels}, n_channels={n_channels})"
        source = opened(script, device=7, known=known)
        samples = np.concatenate(list(blocks_until_failure(source)))
        assert source.opened is not None
        expected = 20 * 882 * RATE_HZ / source.opened.sample_rate_hz
        assert 0.8 * expected < len(samples) <= expected
    assert "capture.format rate_hz=44100 channels=2" in caplog.text


def test_A7_after_an_index_was_opened_once_it_is_the_name_that_is_asked_for() -> None:
    known = KnownDevice()
    opened("opened()", device=7, known=known).close()
    error = refusal("answer(type='failed', reason='refused', error=REQUEST['device'])", device=7, known=known)
    assert str(error) == "mic:7: fake"


def test_A7_what_the_sound_server_says_is_part_of_the_description() -> None:
    line = (
        "answer(type='opened', device='pulse', sample_rate_hz=16000, n_channels=1, server_source={'name': 'a.monitor'})"
    )
    source = opened(line)
    source.close()
    assert source.vitals().description == "mic (pulse, a.monitor)"
