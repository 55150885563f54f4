"""Samples per monotonic second, on made-up reads: no driver, no clock."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from streamgmm.audio.flow import MAX_DOUBT_S, STEADY_S, FlowMeter

RATE_HZ = 16000
BLOCK_FRAMES = 320
PERIOD_FRAMES = 1600
Read = tuple[float, int, int]


def reads(duration_s: float, *, ppm: float = 0.0, start_s: float = 0.0, jitter_s: float = 0.004) -> Iterator[Read]:
    """What a driver delivers that hands over periods of 0.1 s, read in blocks of 0.02 s."""
    jitter = random.Random(1)
    rate_hz = RATE_HZ * (1 + ppm * 1e-6)
    n_pending = n_periods = 0
    while True:
        n_periods += 1
        at_s = n_periods * PERIOD_FRAMES / rate_hz
        if at_s > duration_s:
            return
        n_pending += PERIOD_FRAMES
        at_s += jitter.random() * jitter_s
        while n_pending:
            n_pending -= BLOCK_FRAMES
            yield start_s + at_s, BLOCK_FRAMES, n_pending


def later(some: Iterator[Read], delay_s: float) -> Iterator[Read]:
    return ((read_s + delay_s, n_frames, n_pending) for read_s, n_frames, n_pending in some)


def losses(meter: FlowMeter, *parts: Iterator[Read]) -> list[tuple[float, float]]:
    """When a loss was found, and how long it is."""
    return [(read[0], lost_s) for part in parts for read in part if (lost_s := meter.observe(*read))]


@pytest.mark.parametrize("lost_s", [0.15, 1.0, 30.0])
def test_A11_a_loss_without_a_word_is_found_within_a_second_of_the_sound_after_it(lost_s: float) -> None:
    found = losses(FlowMeter(RATE_HZ), reads(60), later(reads(60, start_s=60), lost_s))
    assert len(found) == 1
    (found_s, found_lost_s), *_ = found
    assert found_lost_s == pytest.approx(lost_s, abs=0.02)
    assert found_s - (60 + lost_s) < STEADY_S + 0.25


def test_A11_losses_that_follow_each_other_are_all_found() -> None:
    parts = [later(reads(5, start_s=5 * i), 0.5 * i) for i in range(20)]
    found = losses(FlowMeter(RATE_HZ), *parts)
    assert sum(lost_s for _, lost_s in found) == pytest.approx(19 * 0.5, abs=0.1)


def test_A11_a_stream_that_loses_all_the_time_is_not_doubted_for_ever() -> None:
    # Every tenth period is missing.
    rest = [read for i, read in enumerate(reads(60)) if (i // 5) % 10]
    meter = FlowMeter(RATE_HZ)
    found = losses(meter, iter(rest))
    assert sum(lost_s for _, lost_s in found) == pytest.approx(6.0, abs=0.3)
    assert max(b - a for (a, _), (b, _) in itertools.pairwise(found)) <= MAX_DOUBT_S + 1.5


@pytest.mark.parametrize("stall_s", [0.2, 1.0, 1.9, 9.0])
def test_A12_F13_what_comes_in_a_burst_after_a_stall_is_not_lost(stall_s: float) -> None:
    stalled = (
        (max(read_s, 10.0 + stall_s + (read_s - 10.0) / 9.0) if read_s > 10.0 else read_s, n_frames, n_pending)
        for read_s, n_frames, n_pending in reads(60)
    )
    meter = FlowMeter(RATE_HZ)
    assert losses(meter, stalled) == []
    assert not meter.is_doubtful


def test_A12_a_stall_of_which_half_comes_back_costs_the_other_half() -> None:
    # Two seconds of silence, then one second at once, then all goes on.
    burst = ((62.0 + 0.001 * i, BLOCK_FRAMES, 0) for i in range(50))
    found = losses(FlowMeter(RATE_HZ), reads(60), burst, reads(30, start_s=62.05))
    assert [lost_s for _, lost_s in found] == [pytest.approx(1.05, abs=0.11)]


@pytest.mark.parametrize("ppm", [-300.0, 0.0, 300.0])
def test_A13_a_clock_that_is_off_is_measured_and_loses_nothing_in_a_day(ppm: float) -> None:
    meter = FlowMeter(RATE_HZ)
    jitter = random.Random(2)
    block_s, rate_hz = 0.5, RATE_HZ * (1 + ppm * 1e-6)
    n_frames = int(block_s * RATE_HZ)
    day = ((i * n_frames / rate_hz + jitter.random() * 0.05, n_frames, 0) for i in range(int(86400 / block_s)))
    assert losses(meter, day) == []
    assert meter.drift_ppm == pytest.approx(ppm, abs=2.0)


def test_A13_a_loss_does_not_pass_for_drift() -> None:
    meter = FlowMeter(RATE_HZ)
    losses(meter, reads(600, ppm=50), later(reads(600, ppm=50, start_s=600), 3.0))
    assert meter.drift_ppm == pytest.approx(50, abs=20)


def test_A13_the_drift_is_not_told_before_it_is_known() -> None:
    meter = FlowMeter(RATE_HZ)
    losses(meter, reads(60))
    assert meter.drift_ppm is None


def test_A10_what_the_driver_said_is_lost_is_not_found_again() -> None:
    meter = FlowMeter(RATE_HZ)
    assert losses(meter, reads(10)) == []
    meter.forgive(2.0)
    assert losses(meter, later(reads(10, start_s=10), 2.0)) == []
