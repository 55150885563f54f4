from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from streamgmm.records import Error, decode_json
from streamgmm.sinks.socket.door import ACCEPTS_PER_TURN, Door
from streamgmm.sinks.socket.listeners import TcpListener
from tests.sinks.sink_rig import Client


@pytest.fixture
def listener() -> TcpListener:
    return TcpListener("tcp://127.0.0.1:0")


@pytest.fixture
def door(listener: TcpListener) -> Iterator[Door]:
    door = Door(listener)
    yield door
    door.close()


def test_nobody_there(door: Door) -> None:
    assert list(door.accept_some()) == []


def test_E15_accepts_so_many_at_once_and_the_rest_later(door: Door, listener: TcpListener) -> None:
    with ExitStack() as stack:
        for _ in range(ACCEPTS_PER_TURN + 3):
            stack.enter_context(Client(listener.address))
        turns = [[stack.enter_context(connection) for connection in door.accept_some()] for _ in range(3)]
    assert [len(turn) for turn in turns] == [ACCEPTS_PER_TURN, 3, 0]


def test_E7_refusal_is_one_error_line(door: Door, listener: TcpListener) -> None:
    with Client(listener.address) as client:
        for connection in door.accept_some():
            door.refuse(connection)
        answer = client.read_to_end()
    assert answer.count(b"\n") == 1
    assert isinstance(decode_json(answer), Error)
    assert door.n_rejected == 1


def test_E10_client_that_has_gone_is_refused_without_a_word(door: Door) -> None:
    near, far = socket.socketpair()
    far.close()
    door.refuse(near)
    assert near.fileno() == -1


class OnceOutOfDescriptors(socket.socket):
    """A listening socket for which the process has no descriptor left, at the first attempt only."""

    is_relieved = False

    def accept(self) -> tuple[socket.socket, object]:
        if not self.is_relieved:
            self.is_relieved = True
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


class BrieflyFullListener(TcpListener):
    def open(self) -> socket.socket:
        server = super().open()
        return OnceOutOfDescriptors(server.family, server.type, fileno=server.detach())


def test_E7_client_that_comes_when_descriptors_are_free_again_is_let_in() -> None:
    listener = BrieflyFullListener("tcp://127.0.0.1:0")
    door = Door(listener)
    with Client(listener.address):
        (connection,) = door.accept_some()
        connection.close()
    assert door.n_rejected == 0
    door.close()
