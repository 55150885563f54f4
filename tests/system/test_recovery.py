"""A few cycles of the recovery script, which is there to be run with many."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sound_servers import SERVERS
from tests.system.recovery import Cycle, Result, measure, table_of


@pytest.mark.parametrize(("kind", "n_sources"), [*((kind, 1) for kind in SERVERS), (SERVERS[0], 8)])
def test_A2_A4_A23_A25_every_way_to_lose_a_microphone_is_noticed_and_healed(
    demo_model: Path, tmp_path: Path, kind: str, n_sources: int
) -> None:
    cycles: list[Cycle] = []
    result = measure(demo_model, tmp_path, (4, 1), cycles.append, kind, n_sources)
    assert len({cycle.fault for cycle in cycles}) == 4
    assert result.broken_promises() == []
    assert table_of(cycles).row_count == 5


@pytest.mark.parametrize(
    ("cycles", "unaccounted_samples", "broken"),
    [
        ([Cycle("a", 2.9, 4.9)], 0, []),
        ([Cycle("a", 3.1, 4.9)], 0, ["detected within 3 s"]),
        ([Cycle("a", 1.0, 4.9)] * 99 + [Cycle("a", 1.0, 9.9)], 0, []),
        ([Cycle("a", 1.0, 5.1)], 1, ["95 of 100 back within 5 s", "every sample accounted for"]),
        ([Cycle("a", 1.0, 1.0)] * 99 + [Cycle("a", 1.0, 10.1)], 0, ["back within 10 s"]),
    ],
)
def test_a_broken_promise_is_told(cycles: list[Cycle], unaccounted_samples: int, broken: list[str]) -> None:
    assert Result(cycles, unaccounted_samples, 0.0).broken_promises() == broken


def test_a_gap_of_another_source_is_told() -> None:
    assert Result([Cycle("a", 1.0, 1.0)], 0, 0.0, 1).broken_promises() == ["the other sources lose nothing"]
