"""Turns at the worker: in the order of joining, each member once."""

from __future__ import annotations

import threading
import time

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
    assert [turns.take(1) for _ in expected] == [[member] for member in expected]


@given(st.lists(st.booleans(), max_size=30))
def test_who_was_taken_may_join_again_behind_the_others(is_busy: list[bool]) -> None:
    turns: Turns[str] = Turns()
    turns.join("flood")
    for is_other_busy in is_busy:
        if is_other_busy:
            turns.join("other")
        (taken,) = turns.take(1)
        if taken == "flood":
            turns.join("flood")
        # However much work the flood has, the other comes next.
        if is_other_busy and taken == "flood":
            assert turns.take(1) == ["other"]


def test_a_waiting_worker_is_woken() -> None:
    turns: Turns[str] = Turns()
    taken: list[list[str]] = []
    thread = threading.Thread(target=lambda: taken.extend([turns.take(1), turns.take(1)]), daemon=True)
    thread.start()
    turns.join("a")
    turns.wake()
    thread.join(TIMEOUT_S)
    assert taken == [["a"], []]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 12))
def test_all_that_wait_are_taken_together_up_to_a_number(joining: list[int], n_most: int) -> None:
    turns: Turns[int] = Turns()
    for member in joining:
        turns.join(member)
    expected = list(dict.fromkeys(joining))
    assert turns.take(n_most) == expected[:n_most]
    turns.wake()
    assert turns.take(99) == expected[n_most:]


def test_who_joins_while_others_gather_is_taken_with_them() -> None:
    turns: Turns[str] = Turns()
    taken: list[list[str]] = []
    thread = threading.Thread(
        target=lambda: taken.append(turns.take(9, not_before_s=time.monotonic() + 0.5)), daemon=True
    )
    thread.start()
    turns.join("a")
    turns.join("b")
    thread.join(TIMEOUT_S)
    assert taken == [["a", "b"]]
