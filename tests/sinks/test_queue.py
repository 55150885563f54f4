from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamgmm.records import Dropped, decode_json
from streamgmm.sinks.queue import MAX_QUEUE_BYTES, RecordQueue
from tests.sinks.sink_rig import account, message, status


def fill(queue: RecordQueue, seqs: range) -> None:
    for seq in seqs:
        queue.push(*message(status(seq)))


def pop_all(queue: RecordQueue) -> list[bytes]:
    return list(iter(queue.pop, None))


def longest_fitting_suffix(lines: list[bytes], max_records: int, max_bytes: int) -> list[bytes]:
    fitting = [lines[i:] for i in range(len(lines) + 1) if len(lines) - i <= max_records]
    return next(suffix for suffix in fitting if sum(map(len, suffix)) <= max_bytes)


def test_first_in_first_out() -> None:
    queue = RecordQueue(4)
    fill(queue, range(4))
    assert [decode_json(line).seq for line in pop_all(queue)] == [0, 1, 2, 3]
    assert queue.pop() is None


def test_E8_oldest_give_way_and_the_hole_comes_first() -> None:
    queue = RecordQueue(2)
    fill(queue, range(5))
    dropped, *rest = [decode_json(line) for line in pop_all(queue)]
    assert dropped == Dropped(seq=0, t=0.0, source="mic", count=3, from_seq=0)
    assert [record.seq for record in rest] == [3, 4]


def test_E8_a_hole_is_told_once() -> None:
    queue = RecordQueue(1)
    fill(queue, range(3))
    first = pop_all(queue)
    fill(queue, range(3, 6))
    records = [decode_json(line) for line in first + pop_all(queue)]
    assert [type(record) is Dropped for record in records] == [True, False, True, False]
    assert account(records) == 6


def test_E8_bytes_are_bounded_too() -> None:
    queue = RecordQueue(1_000_000)
    for seq in range(100):
        queue.push(*message(status(seq, detail="x" * 10_000)))
    assert MAX_QUEUE_BYTES - 11_000 < sum(map(len, pop_all(queue)[1:])) <= MAX_QUEUE_BYTES


def test_record_larger_than_the_queue_is_a_hole_itself() -> None:
    queue = RecordQueue(4, max_bytes=200)
    fill(queue, range(1))
    queue.push(*message(status(1, detail="x" * 300)))
    assert len(queue) == 0
    assert queue.is_waiting
    assert account(decode_json(line) for line in pop_all(queue)) == 2


def test_hole_that_the_format_cannot_show_is_skipped() -> None:
    queue = RecordQueue(1, announce=lambda _record: None)
    fill(queue, range(3))
    assert pop_all(queue) == [message(status(2)).line]
    assert not queue.is_waiting


def test_has_room_until_max_records() -> None:
    queue = RecordQueue(2)
    fill(queue, range(1))
    assert queue.has_room_for(b"")
    fill(queue, range(1, 2))
    assert not queue.has_room_for(b"")


def test_has_room_until_max_bytes() -> None:
    pushed = message(status(0))
    queue = RecordQueue(1000, max_bytes=len(pushed.line) + 10)
    # Of a line that never fits there is nothing to wait for.
    assert queue.has_room_for(b"x" * 100_000)
    queue.push(*pushed)
    assert queue.has_room_for(b"x" * 10)
    assert not queue.has_room_for(b"x" * 11)


@given(
    steps=st.lists(st.one_of(st.none(), st.integers(0, 400)), max_size=60),
    max_records=st.integers(1, 8),
    max_bytes=st.integers(150, 1500),
)
def test_same_as_the_longest_suffix_that_fits(steps: list[int | None], max_records: int, max_bytes: int) -> None:
    """A step is a pop (None) or a push of a record with so many more bytes."""
    queue = RecordQueue(max_records, max_bytes)
    waiting: list[bytes] = []
    n_lost = next_seq = n_sent = 0
    received = []
    for step in steps:
        if step is not None:
            pushed = message(status(next_seq, detail="x" * step))
            has_room, was_empty, n_dropped = queue.has_room_for(pushed.line), not waiting, queue.n_dropped
            queue.push(*pushed)
            assert has_room == (was_empty or queue.n_dropped == n_dropped)
            next_seq += 1
            kept = longest_fitting_suffix([*waiting, pushed.line], max_records, max_bytes)
            n_lost += len(waiting) + 1 - len(kept)
            waiting = kept
        elif (line := queue.pop()) is None:
            assert not waiting
            assert n_lost == 0
        elif n_lost > 0:
            received.append(decode_json(line))
            assert isinstance(received[-1], Dropped)
            assert received[-1].count == n_lost
            n_lost = 0
        else:
            assert line == waiting.pop(0)
            received.append(decode_json(line))
            n_sent += 1
        assert len(queue) == len(waiting)
        assert queue.is_waiting == bool(waiting or n_lost)
        assert queue.n_pushed == next_seq == queue.n_popped + queue.n_dropped + len(queue)
    assert queue.n_popped == n_sent
    received += [decode_json(line) for line in pop_all(queue)]
    assert account(received) == next_seq
