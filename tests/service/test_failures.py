from __future__ import annotations

import pytest

from streamgmm.service.failures import MAX_FAILURES, FailureBudget
from tests.service.service_rig import FakeTime


def test_F8_five_failures_in_a_minute_are_survived_and_the_sixth_is_not() -> None:
    budget = FailureBudget(FakeTime().clock)
    for _ in range(MAX_FAILURES):
        budget.spend(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        budget.spend(ZeroDivisionError())
    assert budget.n_failures == MAX_FAILURES + 1


def test_F8_a_failure_now_and_then_is_survived_for_ever() -> None:
    time = FakeTime()
    budget = FailureBudget(time.clock)
    for _ in range(1000):
        budget.spend(ZeroDivisionError())
        time.now_s += 12.1
    assert budget.n_failures == 1000
