"""The rule of skipping, on a simulated worker: no thread, no clock."""

from __future__ import annotations

import pytest

from streamgmm.service.overload import TOLERATED_S, Overload

RATE_HZ = 16000
HOP_SAMPLES = 2000
HOP_S = HOP_SAMPLES / RATE_HZ
RING_S = 30.0


class Simulation:
    """A ring that is filled in real time, and a worker that takes `rtf` times as long as the audio lasts."""

    def __init__(self) -> None:
        self.overload = Overload(HOP_SAMPLES, int(RING_S * RATE_HZ), RATE_HZ)
        self.now_s = 0.0
        self.waiting_samples = 0.0
        self.captured_samples = 0.0
        self.n_analysed = self.n_skipped = 0

    def add(self, duration_s: float) -> None:
        self.waiting_samples += duration_s * RATE_HZ
        self.captured_samples += duration_s * RATE_HZ

    def run(self, duration_s: float, rtf: float) -> None:
        end_s = self.now_s + duration_s
        while self.now_s < end_s:
            skipped = self.overload.samples_to_skip(int(self.waiting_samples))
            assert skipped % HOP_SAMPLES == 0
            self.n_skipped += skipped
            self.waiting_samples -= skipped
            step_s = HOP_S
            if self.waiting_samples >= HOP_SAMPLES:
                self.waiting_samples -= HOP_SAMPLES
                self.n_analysed += HOP_SAMPLES
                step_s = HOP_S * rtf
            self.now_s += step_s
            self.add(step_s)
            assert self.waiting_samples <= RING_S * RATE_HZ
        assert self.n_analysed + self.n_skipped + self.waiting_samples == pytest.approx(self.captured_samples)


def test_a_worker_that_is_fast_enough_skips_nothing() -> None:
    simulation = Simulation()
    simulation.run(600, rtf=0.9)
    assert simulation.n_skipped == 0
    assert not simulation.overload.is_overloaded


def test_A12_a_burst_of_ten_seconds_is_no_overload() -> None:
    simulation = Simulation()
    simulation.add(10.0)
    simulation.run(60, rtf=0.5)
    assert simulation.n_skipped == 0


@pytest.mark.parametrize("rtf", [1.5, 4.0, 20.0])
def test_F12_a_worker_that_is_too_slow_skips_whole_hops_and_what_it_says_is_not_old(rtf: float) -> None:
    simulation = Simulation()
    simulation.run(600, rtf=rtf)
    assert simulation.overload.is_overloaded or rtf < 2
    assert simulation.n_analysed / simulation.captured_samples == pytest.approx(1 / rtf, rel=0.3)
    if rtf > 2:
        assert simulation.waiting_samples <= (TOLERATED_S + rtf * HOP_S) * RATE_HZ


@pytest.mark.parametrize("relief_rtf", [0.02, 0.3])
def test_F12_it_is_over_within_two_seconds_of_relief(relief_rtf: float) -> None:
    for overload_s in range(60, 70):
        simulation = Simulation()
        simulation.run(overload_s, rtf=4.0)
        assert simulation.overload.is_overloaded
        simulation.run(2.0, rtf=relief_rtf)
        assert not simulation.overload.is_overloaded or relief_rtf > 0.1
        n_skipped = simulation.n_skipped
        simulation.run(60.0, rtf=relief_rtf)
        assert simulation.n_skipped == n_skipped
        assert simulation.waiting_samples < 2 * HOP_SAMPLES


def test_F12_a_small_ring_is_never_skipped_beyond_what_it_holds() -> None:
    overload = Overload(HOP_SAMPLES, 2 * HOP_SAMPLES, RATE_HZ)
    assert overload.samples_to_skip(HOP_SAMPLES) == 0
    assert overload.samples_to_skip(2 * HOP_SAMPLES) == 2 * HOP_SAMPLES
