"""Turns at the worker: in the order of joining, each member once."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from streamgmm.service.turns import Turns
from tests.service.service_rig import TIMEOUT_S


@given(st.lists(st.integers(0, 3), max_size=30))
def test_each_waits_once_and_in_the_order_of_joining(joining: list[int]) -> None:
    turns: Turns[int] = Turns()
    for member in joining:
        turns.join(member)
    expected = list(dict.fromkeys(joining))
    assert [turns.take() for _ in expected] == expected


@given(st.lists(st.booleans(), max_size=30))
def test_who_was_taken_may_join_again_behind_the_others(is_busy: list[bool]) -> None:
    turns: Turns[str] = Turns()
    turns.join("flood")
    for is_other_busy in is_busy:
        if is_other_busy:
            turns.join("other")
        taken = turns.take()
        if taken == "flood":
            turns.join("flood")
        # However much work the flood has, the other comes next.
        if is_other_busy and taken == "flood":
            assert turns.take() == "other"


def test_a_waiting_worker_is_woken() -> None:
    turns: Turns[str] = Turns()
    taken: list[str | None] = []
    thread = threading.Thread(target=lambda: taken.extend([turns.take(), turns.take()]), daemon=True)
    thread.start()
    turns.join("a")
    turns.wake()
    thread.join(TIMEOUT_S)
    assert taken == ["a", None]
