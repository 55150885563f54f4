from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from streamgmm.service.wall_clock import CLOCK_LOOK_S, WallClock
from tests.service.service_rig import FakeTime

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Rig:
    def __init__(self) -> None:
        self.time = FakeTime()
        self.set_by = timedelta()
        self.clock = WallClock(self._now, self.time.boot_clock)
        self.clock.read()

    def _now(self) -> datetime:
        return NOON + timedelta(seconds=self.time.boot_clock()) + self.set_by

    def look(self, n_times: int) -> list[timedelta]:
        steps = []
        for _ in range(n_times):
            self.time.now_s += CLOCK_LOOK_S
            steps.append(self.clock.take_step())
        return [step for step in steps if step is not None]


@pytest.mark.parametrize("step_s", [3652 * 86400, -3652 * 86400, 3600, -5])
def test_F11_a_clock_that_was_set_is_followed_once(step_s: float) -> None:
    rig, step = Rig(), timedelta(seconds=step_s)
    assert rig.look(3) == []
    rig.set_by += step
    assert rig.look(10) == [step]
    rig.set_by -= step
    assert rig.look(10) == [-step]


def test_F11_a_clock_that_is_set_to_and_fro_is_not_followed() -> None:
    rig = Rig()
    steps = random.Random(1)
    for _ in range(1000):
        rig.set_by = timedelta(days=steps.uniform(-3652, 3652))
        assert rig.look(1) == []


def test_A24_sleep_is_no_step() -> None:
    rig = Rig()
    rig.time.sleep(3600.0)
    assert rig.look(5) == []


def test_the_clock_is_looked_at_seldom() -> None:
    rig = Rig()
    rig.set_by += timedelta(hours=1)
    for _ in range(99):
        rig.time.now_s += CLOCK_LOOK_S / 100
        assert rig.clock.take_step() is None
    assert rig.look(1) == []
    assert len(rig.look(1)) == 1
