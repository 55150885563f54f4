"""The figures of `python -m tests.system.subscribers`, with less of everything."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.system import subscribers

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def in_process(call: str) -> subscribers.Growth:
    """What a call gives in a process of its own: this one has threads and memory of the tests before."""
    program = f"from tests.system.subscribers import *; print(*{call})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return subscribers.Growth(*map(int, done.stdout.split()))


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_E8_E9_stuck_subscribers_cost_the_healthy_nothing_and_little_memory(kind: str) -> None:
    stuck = subscribers.measure_stuck(kind, n_records=150, n_rounds=5, is_hasty=True)
    assert stuck.n_lost == 0
    assert min(stuck.p99_ratios) <= subscribers.MAX_RATIO
    assert stuck.bytes_per_client <= subscribers.MAX_STUCK_BYTES


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_E13_garbage_from_many_clients_makes_nothing_grow(kind: str) -> None:
    growth = in_process(f"measure_hostile({kind!r}, {subscribers.N_HOSTILE}, 2_000_000)")
    assert growth.sent_bytes >= subscribers.N_HOSTILE * 2_000_000
    assert growth.n_bytes <= subscribers.MAX_GROWTH_BYTES
    assert (growth.n_fds, growth.n_threads) == (0, 0)


@pytest.mark.parametrize(("kind", "n_cycles"), [("unix", 10_000), ("tcp", 2000)])
def test_F15_F16_clients_that_come_and_go_leave_nothing(kind: str, n_cycles: int) -> None:
    growth = in_process(f"measure_cycles({kind!r}, {n_cycles})")
    assert growth.n_bytes <= subscribers.MAX_GROWTH_BYTES
    assert (growth.n_fds, growth.n_threads) == (0, 0)
