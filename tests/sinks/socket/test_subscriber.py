from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from streamgmm.records import decode_json
from streamgmm.sinks.queue import RecordQueue
from streamgmm.sinks.socket.subscriber import MAX_INPUT_BYTES, STALL_S, Subscriber
from tests.sinks.sink_rig import Reader, account, message, status


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    far.settimeout(5.0)
    with near, far:
        yield near, far


def fill(subscriber: Subscriber, n_records: int) -> None:
    """Offer records and send until the system takes no more."""
    for seq in range(n_records):
        subscriber.offer(message(status(seq)))
        assert subscriber.send(0.0) is None


def test_greeting_comes_first_and_is_never_dropped(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    subscriber = Subscriber(near, "", b"greeting\n", RecordQueue(1))
    for seq in range(3):
        subscriber.offer(message(status(seq)))
    while subscriber.is_waiting:
        assert subscriber.send(0.0) is None
    greeting, *lines = far.recv(65536).splitlines()
    assert greeting == b"greeting"
    assert account(map(decode_json, lines)) == 3


def test_E12_partial_send_keeps_records_whole(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    subscriber = Subscriber(near, "", b"", RecordQueue(4))
    for seq in range(10):
        subscriber.offer(message(status(seq, detail="x" * 60_000)))
        subscriber.send(0.0)
    reader = Reader(far.recv)
    data = b""
    while subscriber.is_waiting:
        data += far.recv(1000)
        assert subscriber.send(0.0) is None
    near.close()
    lines = (data + reader.read_to_end()).split(b"\n")
    assert lines.pop() == b""
    assert account(map(decode_json, lines)) == 10
    assert len(lines) < 10


def test_E9_without_progress_it_has_to_go(ends: tuple[socket.socket, socket.socket]) -> None:
    subscriber = Subscriber(ends[0], "", b"", RecordQueue(16))
    fill(subscriber, 1000)
    deadline_s = subscriber.stall_deadline_s
    assert deadline_s == STALL_S
    assert subscriber.send(deadline_s - 0.1) is None
    assert subscriber.send(deadline_s) == "slow"


def test_E9_progress_grants_another_term(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    subscriber = Subscriber(near, "", b"", RecordQueue(16))
    fill(subscriber, 1000)
    far.recv(1_000_000)
    assert subscriber.send(STALL_S - 1.0) is None
    assert subscriber.send(STALL_S) is None


def test_E14_idle_without_records_is_no_stall(ends: tuple[socket.socket, socket.socket]) -> None:
    subscriber = Subscriber(ends[0], "", b"", RecordQueue(16))
    assert [subscriber.send(now_s) for now_s in (0.0, 1e6)] == [None, None]
    assert subscriber.stall_deadline_s is None


def test_E13_a_little_input_is_forgiven_more_is_not(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    subscriber = Subscriber(near, "", b"", RecordQueue(16))
    assert subscriber.receive() is None
    far.send(b"x" * MAX_INPUT_BYTES)
    assert subscriber.receive() is None
    far.send(b"x")
    assert subscriber.receive() == "protocol"


def test_E10_end_and_reset_are_told_apart(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    subscriber = Subscriber(near, "", b"", RecordQueue(16))
    fill(subscriber, 1)
    far.close()
    # Closing with unread bytes resets the connection: first reported by reading, then by writing (EPIPE).
    assert subscriber.receive() == "reset"
    subscriber.offer(message(status(1)))
    assert subscriber.send(0.0) == "reset"
    assert subscriber.receive() == "eof"
