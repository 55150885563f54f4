from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from streamgmm.audio.microphone.capture_process import CaptureReason
from streamgmm.audio.microphone.microphone import CaptureError
from streamgmm.audio.ring import Ring
from streamgmm.audio.source import Block
from streamgmm.audio.streams.pcm_socket import WriterError
from streamgmm.audio.stretch import Stretch
from streamgmm.errors import DataError, DeviceError, InputMissingError, SystemResourceError
from streamgmm.service.capture import Capture, CaptureListener
from streamgmm.service.clocks import Clocks
from tests.service.service_rig import RATE_HZ, TIMEOUT_S, FakeSource, FakeTime, noise, passes, plan

MISSING = CaptureError("not_found", "no input device")


class Rig:
    """A capture over fake sources, to be run within the test."""

    def __init__(self, *sources: FakeSource, is_device_required: bool = False, is_lossy: bool = True) -> None:
        self.time = FakeTime()
        self.states: list[tuple[str, str]] = []
        self.n_moves = 0
        self.ring = Ring(10 * RATE_HZ, is_lossy=is_lossy)
        self.capture = Capture(
            plan(*sources),
            self.ring,
            RATE_HZ,
            CaptureListener(lambda state, detail: self.states.append((state, detail)), self._move),
            Clocks(monotonic=self.time.clock, boot=self.time.boot_clock, wait=self.time.wait),
            is_device_required=is_device_required,
        )

    def _move(self) -> None:
        self.n_moves += 1

    def stop_after(self, n_waits: int) -> None:
        self.time.on_wait = lambda: self.capture.stop() if len(self.time.waits_s) == n_waits else None

    def stretches(self) -> list[Stretch]:
        return list(iter(lambda: self.ring.read(RATE_HZ), None))

    def gaps(self) -> list[tuple[int, str | None]]:
        return [(stretch.lost_samples, stretch.gap_reason) for stretch in self.stretches() if stretch.gap_reason]


def test_a_source_that_ends_is_read_once() -> None:
    source = FakeSource(100, 200)
    rig = Rig(source)
    rig.capture.run()
    assert rig.time.waits_s == []
    assert rig.states == [("ok", "audio flows from mic")]
    assert rig.ring.counts.captured_samples == 300
    assert source.is_closed.is_set()
    assert sum(len(stretch.samples) for stretch in rig.stretches()) == 300


def test_a_source_that_ended_is_let_go_with_all_that_it_holds() -> None:
    rig = Rig(FakeSource(100))
    rig.capture.run()
    assert rig.capture.source is None


def test_A1_a_missing_device_is_tried_for_ever_with_waits_that_double_to_ten_seconds() -> None:
    rig = Rig(FakeSource(MISSING))
    rig.stop_after(50)
    rig.capture.run()
    assert rig.time.waits_s == [0.5, 1.0, 2.0, 4.0, 8.0] + 45 * [10.0]
    assert rig.states == [("degraded", "no input device")]
    assert rig.ring.counts == (0, 0, 0, 0, 0)


def test_A40_a_source_that_waits_for_its_writers_itself_is_opened_again_soon() -> None:
    errors = [WriterError("bad_header", "the header is wrong"), WriterError("no_writer", "no program sends samples")]
    rig = Rig(*(FakeSource(error) for error in 3 * errors), FakeSource(100))
    rig.capture.run()
    assert rig.time.waits_s == 6 * [0.5]


def test_A1_a_device_that_comes_later_is_heard() -> None:
    rig = Rig(FakeSource(MISSING), FakeSource(CaptureError("refused", "busy")), FakeSource(100))
    rig.capture.run()
    states = [("degraded", "no input device"), ("degraded", "busy"), ("ok", "audio flows from mic")]
    assert rig.states == states
    assert rig.gaps() == []


def test_A2_what_a_lost_device_costs_is_told_while_it_lasts_and_counted_exactly() -> None:
    lost = DeviceError("lost")
    rig = Rig(FakeSource(100, lost), *(FakeSource(MISSING) for _ in range(3)), FakeSource(800))
    rig.capture.run()
    assert [state for state, _ in rig.states] == ["ok", "lost", "recovering", "recovering", "ok"]
    assert rig.time.waits_s == [0.5, 1.0, 2.0, 4.0]
    # At the failure (at once), at each further one, and the rest when it is back, less what its first block holds.
    samples = [0, 0.5 * RATE_HZ, 1.0 * RATE_HZ, 2.0 * RATE_HZ, 4.0 * RATE_HZ - 800]
    assert rig.ring.counts.source_lost_samples == sum(samples)
    assert rig.gaps() == [(sum(samples), "device_lost")]
    assert rig.ring.counts.captured_samples == 900


def test_A2_A46_a_loss_that_comes_with_the_first_block_is_not_counted_twice() -> None:
    block = Block(noise(800), 500, "input_overflow")
    rig = Rig(FakeSource(100, DeviceError("lost")), FakeSource(block))
    rig.capture.run()
    assert sum(n_samples for n_samples, _ in rig.gaps()) == 0.5 * RATE_HZ - 800


def test_A4_the_time_until_a_stall_is_noticed_is_lost_too() -> None:
    source = FakeSource()
    rig = Rig(source, FakeSource(80))
    source._script += [100, passes(rig.time, 3.0), CaptureError("stalled", "no answer for 3 s")]
    rig.capture.run()
    assert rig.ring.counts.source_lost_samples == 3.5 * RATE_HZ - 80


def test_waits_begin_anew_once_sound_was_heard() -> None:
    rig = Rig(*itertools.chain(*((FakeSource(MISSING), FakeSource(10, MISSING)) for _ in range(3))), FakeSource(10))
    rig.capture.run()
    assert rig.time.waits_s == [0.5, 0.5, 1.0, 0.5, 1.0, 0.5]


def test_A3_a_device_that_fails_at_every_start_is_tried_at_most_twice_a_second() -> None:
    rig = Rig(*(FakeSource(1, MISSING) for _ in range(20)), FakeSource(1))
    rig.capture.run()
    assert set(rig.time.waits_s) == {0.5}


def test_A10_a_gap_within_the_source_is_passed_on() -> None:
    rig = Rig(FakeSource(100, Block(noise(50), 7, "input_overflow")))
    rig.capture.run()
    first, gap, second = rig.stretches()
    assert (len(first.samples), len(second.samples)) == (100, 50)
    assert (gap.lost_samples, gap.gap_reason) == (7, "input_overflow")


@pytest.mark.parametrize("reason", ["no_library", "no_channel", "ambiguous"])
def test_what_no_waiting_will_change_ends_the_capture(reason: CaptureReason) -> None:
    error = CaptureError(reason, "never")
    rig = Rig(FakeSource(error))
    with pytest.raises(CaptureError) as caught:
        rig.capture.run()
    assert caught.value is error
    assert (rig.time.waits_s, rig.states, rig.stretches()) == ([], [], [])


def test_a_name_that_is_ambiguous_for_a_while_is_waited_for_once_it_was_heard() -> None:
    rig = Rig(FakeSource(10, MISSING), FakeSource(CaptureError("ambiguous", "two of them")), FakeSource(10))
    rig.capture.run()
    assert [state for state, _ in rig.states] == ["ok", "lost", "recovering", "recovering", "ok"]


@pytest.mark.parametrize("opens", [False, True])
def test_A1_A5_a_required_device_that_gives_no_sound_at_the_start_is_an_error(opens: bool) -> None:
    script = [lambda: None, CaptureError("no_first_block", "no answer for 5 s")] if opens else [MISSING]
    rig = Rig(FakeSource(*script), is_device_required=True)
    with pytest.raises(DeviceError) as caught:
        rig.capture.run()
    assert caught.value.exit_code == 69


def test_A1_a_required_device_that_is_lost_later_is_waited_for() -> None:
    rig = Rig(FakeSource(10, MISSING), FakeSource(10), is_device_required=True)
    rig.capture.run()
    assert rig.ring.counts.captured_samples == 20


@pytest.mark.parametrize("is_live", [False, True])
@pytest.mark.parametrize("error", [InputMissingError("no such file"), DataError("no audio"), ValueError("a bug")])
def test_a_recording_that_cannot_be_read_is_not_tried_again(is_live: bool, error: Exception) -> None:
    for delivered in ([], [100]):
        rig = Rig(FakeSource(*delivered, error, is_live=is_live))
        with pytest.raises(type(error)):
            rig.capture.run()
        assert sum(len(stretch.samples) for stretch in rig.stretches()) == sum(delivered)
        assert rig.time.waits_s == []


def test_F17_an_exhausted_system_ends_a_start_but_not_a_run() -> None:
    error = SystemResourceError("cannot start a process")
    with pytest.raises(SystemResourceError):
        Rig(FakeSource(error)).capture.run()
    rig = Rig(FakeSource(10, MISSING), FakeSource(error), FakeSource(10))
    rig.capture.run()
    assert rig.ring.counts.captured_samples == 20


def test_A24_F23_sleep_of_the_machine_is_a_gap_of_its_own_and_the_device_is_opened_again() -> None:
    source, again = FakeSource(), FakeSource(800)
    rig = Rig(source, again)
    source._script += [100, passes(rig.time, 0.5), lambda: rig.time.sleep(3600.0), 100]
    rig.capture.run()
    assert [state for state, _ in rig.states] == ["ok", "recovering", "ok"]
    assert rig.states[1][1] == "mic: the machine slept for 3600.0 s"
    # Half a second before the sleep, and as much until it was opened again, less what came then.
    lost = {"suspend": 3600 * RATE_HZ, "device_lost": 1.0 * RATE_HZ - 800}
    assert rig.ring.lost_samples == lost
    assert sorted(rig.gaps()) == sorted((n_samples, reason) for reason, n_samples in lost.items())
    assert rig.ring.counts.captured_samples == 900


def test_A24_a_device_that_did_not_survive_the_sleep_is_no_stall() -> None:
    source = FakeSource()
    rig = Rig(source, FakeSource(80))
    source._script += [100, lambda: rig.time.sleep(60.0), CaptureError("stalled", "no answer for 2 s")]
    rig.capture.run()
    assert [state for state, _ in rig.states] == ["ok", "recovering", "ok"]
    assert rig.ring.lost_samples["suspend"] == 60 * RATE_HZ


def test_A24_sleep_before_the_first_sound_costs_nothing() -> None:
    source = FakeSource()
    rig = Rig(source, FakeSource(800))
    source._script += [lambda: rig.time.sleep(60.0), 100]
    rig.capture.run()
    assert rig.gaps() == []
    assert rig.states[-1][0] == "ok"


def test_A4_a_microphone_that_hangs_is_stalled() -> None:
    rig = Rig(FakeSource(100, CaptureError("stalled", "no answer for 2 s")), FakeSource(80))
    rig.capture.run()
    assert [state for state, _ in rig.states] == ["ok", "stalled", "recovering", "ok"]


def test_F9_every_step_is_a_move() -> None:
    rig = Rig(FakeSource(100, 100, MISSING), FakeSource(MISSING), FakeSource(100))
    rig.capture.run()
    # Opened and two blocks, failed and waited, failed and waited, opened and a block.
    assert rig.n_moves >= 9


def test_stop_wakes_a_source_that_hangs() -> None:
    source = FakeSource(100, "hang")
    rig = Rig(source)
    thread = threading.Thread(target=rig.capture.run, daemon=True)
    thread.start()
    assert source.hanging.wait(TIMEOUT_S)
    rig.capture.stop()
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()


def test_stop_before_the_start_opens_nothing() -> None:
    source = FakeSource(ValueError("opened"))
    rig = Rig(source)
    rig.capture.stop()
    rig.capture.run()
    assert rig.stretches() == []


def test_an_error_that_comes_of_stopping_is_none() -> None:
    class Failing(FakeSource):
        def read(self) -> Block | None:
            rig.capture.stop()
            raise InputMissingError("closed meanwhile")

    rig = Rig(Failing(is_live=False))
    rig.capture.run()
    assert rig.states == []


def test_A22_a_source_that_can_wait_loses_nothing_to_a_slow_reader() -> None:
    n_blocks = 40
    rig = Rig(FakeSource(*n_blocks * [RATE_HZ], is_live=False), is_lossy=False)
    thread = threading.Thread(target=rig.capture.run, daemon=True)
    thread.start()
    heard = np.concatenate([stretch.samples for stretch in rig.stretches()])
    thread.join(TIMEOUT_S)
    assert len(heard) == n_blocks * RATE_HZ
    assert heard[RATE_HZ - 1] == noise(RATE_HZ, RATE_HZ)[-1]
    assert rig.ring.counts.lost_samples == 0
