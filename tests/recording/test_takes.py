"""Takes: each sound once, with what comes before it, whatever the blocks are."""

from __future__ import annotations

import numpy as np
import pytest

from streamgmm.recording.takes import LOWEST_FLOOR_DBFS, MAX_SOUND_S, PRE_ROLL_S, QUIET_S, TakeCutter, interval_levels
from tests.narrowing import present
from tests.recording.recording_rig import RATE_HZ, beep, cut, room, scene

TWO_SOUNDS = scene(room(2.0), beep(0.5), room(3.0, 1), beep(0.25), room(3.0, 2))


def test_each_sound_is_a_take_with_its_pre_roll_and_its_end() -> None:
    takes = cut(TakeCutter(RATE_HZ, None), TWO_SOUNDS)
    durations = [take.duration_s for take in takes]
    assert durations == [pytest.approx(PRE_ROLL_S + sound_s + QUIET_S, abs=0.05) for sound_s in (0.5, 0.25)]
    begin = round((2.0 - PRE_ROLL_S) * RATE_HZ)
    np.testing.assert_array_equal(takes[0].samples, TWO_SOUNDS[begin : begin + len(takes[0].samples)])
    assert all(take.is_whole for take in takes)


@pytest.mark.parametrize("block_samples", [1, 160, 8000, 100_000])
def test_takes_do_not_depend_on_blocks(block_samples: int) -> None:
    samples = TWO_SOUNDS[: 4 * RATE_HZ] if block_samples == 1 else TWO_SOUNDS
    expected = cut(TakeCutter(RATE_HZ, None), samples)
    found = cut(TakeCutter(RATE_HZ, None), samples, block_samples)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)


def test_a_knock_of_one_interval_is_a_sound() -> None:
    assert len(cut(TakeCutter(RATE_HZ, None), scene(room(2.0), beep(0.03), room(2.0)))) == 1


def test_pauses_within_a_sound_do_not_end_it() -> None:
    barks = scene(room(2.0), beep(0.2), room(0.7), beep(0.2), room(2.0))
    (take,) = cut(TakeCutter(RATE_HZ, None), barks)
    assert take.duration_s == pytest.approx(PRE_ROLL_S + 1.1 + QUIET_S, abs=0.05)


def test_nothing_begins_before_the_room_is_known() -> None:
    cutter = TakeCutter(RATE_HZ, None)
    assert cut(cutter, scene(beep(0.3), room(0.5))) == []
    assert not cutter.is_settled
    assert len(cut(cutter, scene(room(2.0), beep(0.3), room(2.0)))) == 1


def test_a_room_that_becomes_louder_is_one_take_and_then_the_room() -> None:
    fan = room(MAX_SOUND_S + 20.0, 3, amplitude=30 * 1e-3)
    (take,) = cut(TakeCutter(RATE_HZ, None), scene(room(2.0), fan))
    assert take.duration_s == pytest.approx(MAX_SOUND_S + PRE_ROLL_S, abs=0.05)


def test_digital_silence_is_no_floor() -> None:
    silence = np.zeros(3 * RATE_HZ, np.float32)
    (take,) = cut(TakeCutter(RATE_HZ, None), scene(silence, beep(0.5), silence))
    assert take.floor_dbfs == LOWEST_FLOOR_DBFS
    assert cut(TakeCutter(RATE_HZ, None), scene(silence, room(1.0, amplitude=1e-5), silence)) == []


def test_takes_of_a_length_follow_each_other_without_gap_or_overlap() -> None:
    cutter, samples = TakeCutter(RATE_HZ, 1.0), room(10.0)
    cutter.begin()
    takes = []
    for take in cutter.push(samples):
        takes.append(take.samples)
        cutter.begin()
    assert len(takes) == 10
    np.testing.assert_array_equal(np.concatenate(takes), samples)


def test_every_take_of_a_length_is_that_long_whatever_was_before_it() -> None:
    cutter = TakeCutter(RATE_HZ, 1.0)
    assert cut(cutter, room(2.0)) == []
    for seed in range(3):
        cutter.begin()
        (take,) = cut(cutter, room(1.0, seed))
        np.testing.assert_array_equal(take.samples, room(1.0, seed))
        assert cut(cutter, room(0.7)) == []


def test_an_interrupted_take_holds_all_that_was_recorded() -> None:
    cutter = TakeCutter(RATE_HZ, 5.0)
    cutter.begin()
    samples = room(1.2345)
    cutter.lose(80)
    assert cut(cutter, samples) == []
    take = present(cutter.interrupt())
    np.testing.assert_array_equal(take.samples, samples)
    assert (take.is_whole, take.lost_samples) == (False, 80)
    assert cutter.interrupt() is None


def test_without_a_take_there_is_nothing_to_interrupt() -> None:
    cutter = TakeCutter(RATE_HZ, None)
    assert cut(cutter, room(3.0)) == []
    assert cutter.interrupt() is None


def test_levels_leave_out_a_constant_offset() -> None:
    assert interval_levels(np.full(1000, 0.5, np.float32), RATE_HZ).max() == -200.0
