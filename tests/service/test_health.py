from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from streamgmm.service.health import CaptureState, Condition, SignalHealth
from streamgmm.units import power_to_dbfs
from tests.service.service_rig import RATE_HZ, noise

HOP_S = 0.125
HOP_SAMPLES = int(HOP_S * RATE_HZ)
GATE_DBFS = -75.0


def update(health: SignalHealth, samples: np.ndarray) -> str:
    """One more hop, with the level of its deviation from its mean."""
    return health.update(samples, power_to_dbfs(float(np.var(samples, dtype=np.float64))))


def states(*parts: np.ndarray) -> list[tuple[float, str]]:
    """Every change of state with the second when it came."""
    health = SignalHealth(RATE_HZ, GATE_DBFS)
    samples = np.concatenate(parts).astype(np.float32)
    changes = [(0.0, "ok")]
    for start in range(0, len(samples), HOP_SAMPLES):
        state = update(health, samples[start : start + HOP_SAMPLES])
        if state != changes[-1][1]:
            changes.append(((start + HOP_SAMPLES) / RATE_HZ, state))
    return changes


def constant(value: float, duration_s: float) -> np.ndarray:
    return np.full(int(duration_s * RATE_HZ), value)


def sound(duration_s: float, gain: float = 1.0) -> np.ndarray:
    return gain * noise(int(duration_s * RATE_HZ))


def test_sound_is_ok() -> None:
    assert states(sound(60)) == [(0.0, "ok")]


def test_A14_ten_seconds_of_exact_zeros_are_silent_and_one_sample_ends_it() -> None:
    one = np.eye(1, int(12 * RATE_HZ), 11 * RATE_HZ).ravel()
    changes = states(sound(1), constant(0.0, 20), sound(1), one)
    again = [(32.0, "silent"), (33.125, "ok")]
    assert changes == [(0.0, "ok"), (11.0, "silent"), (21.125, "ok"), *again]


def test_A14_a_dead_microphone_changes_the_state_once_in_ten_minutes() -> None:
    assert states(constant(0.0, 600)) == [(0.0, "ok"), (10.0, "silent")]


@pytest.mark.parametrize("value", [0.25, -1e-3])
def test_A15_a_value_that_is_stuck_is_flat(value: float) -> None:
    assert states(sound(1), constant(value, 20), sound(2)) == [(0.0, "ok"), (11.0, "flat"), (21.125, "ok")]


def test_A15_a_value_that_moves_by_one_step_of_16_bits_is_not_stuck() -> None:
    toggling = 0.25 + (np.arange(30 * RATE_HZ) % 7 == 0) / 32768
    assert states(toggling) == [(0.0, "ok"), (30.0, "quiet")]


def test_A16_more_than_a_hundredth_of_a_second_at_full_scale_is_clipping() -> None:
    square = np.sign(np.sin(np.arange(3 * RATE_HZ)))
    changes = states(sound(2), square, sound(20))
    assert [state for _, state in changes] == ["ok", "clipping", "ok"]
    # Noticed at once, and kept until it has been well for ten seconds.
    assert changes[1][0] == 2.125
    assert changes[2][0] == pytest.approx(5 + 1 + 10, abs=0.25)


def test_A16_single_peaks_are_no_clipping() -> None:
    peaks = sound(30)
    peaks[:: RATE_HZ // 50] = 1.0
    assert states(peaks) == [(0.0, "ok")]


def test_A16_clipped_samples_are_counted() -> None:
    health = SignalHealth(RATE_HZ, GATE_DBFS)
    health.update(np.array([1.0, -1.0, 0.5, np.inf], np.float32), -3.0)
    assert health.n_clipped_samples == 3


def test_a_quiet_room_is_quiet_until_something_is_heard() -> None:
    assert states(sound(40, 1e-4), sound(1), sound(20, 1e-4)) == [(0.0, "ok"), (30.0, "quiet"), (40.125, "ok")]


def test_no_sound_changes_the_state_more_than_twelve_times_a_minute() -> None:
    minute = [constant(0.0, 10.0), sound(HOP_S)] * 6
    assert len(states(*minute)) <= 13
    minute = [np.ones(RATE_HZ // 2), sound(9.5)] * 6
    assert len(states(*minute)) <= 13


def test_A17_what_is_no_number_is_no_dead_microphone() -> None:
    health = SignalHealth(RATE_HZ, GATE_DBFS)
    for _ in range(200):
        assert health.update(np.full(HOP_SAMPLES, np.nan, np.float32), -200.0) in ("ok", "quiet")


def test_level_of_the_last_second() -> None:
    health = SignalHealth(RATE_HZ, GATE_DBFS)
    assert health.level_dbfs is None
    for level_dbfs in (-20.0,) * 8 + (-10.0,) * 4 + (-200.0,) * 4:
        health.update(sound(HOP_S), level_dbfs)
    assert health.level_dbfs == pytest.approx(-13.01, abs=0.01)


def test_it_costs_next_to_nothing() -> None:
    health, hop = SignalHealth(RATE_HZ, GATE_DBFS), noise(HOP_SAMPLES)
    best_s = min(_seconds_of(lambda: health.update(hop, -20.0)) for _ in range(200))
    assert best_s < 0.0005 * HOP_S


def _seconds_of(act) -> float:
    started_s = time.perf_counter()
    act()
    return time.perf_counter() - started_s


class Told:
    """A condition, and what it told."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.condition = Condition(lambda state, detail: self.states.append(state))


def test_the_worst_is_told() -> None:
    told = Told()
    told.condition.say_capture("ok", "audio flows")
    told.condition.say_signal("clipping")
    told.condition.say_overload(is_overloaded=True)
    told.condition.say_capture("lost", "gone")
    told.condition.say_capture("recovering", "again")
    # Sound that begins anew is well until it shows otherwise; an overload is not over for that.
    told.condition.say_capture("ok", "audio flows")
    told.condition.say_overload(is_overloaded=False)
    assert told.states == ["ok", "clipping", "overloaded", "lost", "recovering", "overloaded", "ok"]


def test_nothing_is_told_twice() -> None:
    told = Told()
    for _ in range(100):
        told.condition.say_capture("ok", "audio flows")
        told.condition.say_signal("ok")
        told.condition.say_overload(is_overloaded=False)
    assert told.states == ["ok"]


def test_two_threads_are_told_one_after_the_other() -> None:
    is_telling = threading.Lock()

    def tell(state: str, detail: str) -> None:
        assert is_telling.acquire(blocking=False)
        time.sleep(0)
        is_telling.release()

    condition = Condition(tell)
    condition.say_capture("ok", "")

    def talk(*states: CaptureState) -> None:
        for i in range(2000):
            condition.say_capture(states[i % 2], "")

    threads = [threading.Thread(target=talk, args=pair) for pair in (("lost", "ok"), ("stalled", "ok"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
