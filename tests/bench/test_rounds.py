from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from streamgmm.bench.rounds import Timings, Work, measure
from streamgmm.training.workers import untracked


def test_every_round_has_all_works_and_begins_with_another() -> None:
    seen: list[str] = []
    works = {name: Work(1.0, lambda name=name: seen.append(name)) for name in "abc"}  # type: ignore[misc]
    measure(works, 3, untracked)
    assert "".join(seen) == "abcbcacababc"


def test_the_first_round_is_not_counted_and_costs_are_per_second_of_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    durations_s = iter([50.0, 2.0, 6.0])

    def work() -> None:
        nonlocal now_s
        now_s += next(durations_s)

    monkeypatch.setattr("time.process_time", lambda: now_s)
    timings = measure({"a": Work(2.0, work)}, 2, untracked)
    np.testing.assert_array_equal(timings.rounds["a"], [1.0, 3.0])


def test_libraries_use_one_thread_while_they_are_measured() -> None:
    seen: list[int] = []
    run: Callable[[], object] = lambda: seen.extend(pool["num_threads"] for pool in threadpool_info())  # noqa: E731
    measure({"a": Work(1.0, run)}, 1, untracked)
    assert set(seen) == {1}


def test_a_ratio_is_the_median_of_those_within_rounds() -> None:
    # A machine that was ten times as slow in the second round changes no ratio.
    timings = Timings({"own": np.array([1.0, 10.0, 2.0]), "peer": np.array([4.0, 40.0, 8.0])})
    assert timings.ratio("own", "peer") == 4.0
    assert timings.cost("own") == 2.0
    assert timings.times_real_time("own") == 0.5
