"""Both variants of the client, on sockets of a daemon that come and go, and on peers that are none."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgmm.client import Connection, TokenRefusedError, connect, connect_async
from streamgmm.client.address import parse_address
from streamgmm.client.conversation import MAX_LINE_BYTES
from streamgmm.client.retrying import FIRST_WAIT_S, Retrying
from streamgmm.errors import NotRunningError, PermissionDeniedError, StreamgmmError, TemporaryError, UsageError
from streamgmm.records import Error, encode_json
from streamgmm.sinks.socket.token import Token
from tests.client.client_rig import READERS, Read, Socket, peer
from tests.other_user import as_ordinary_user
from tests.sinks.sink_rig import HELLO, TIMEOUT_S, end, start, status

SECRET = "0123456789abcdef" * 4


@pytest.fixture(params=list(READERS.values()), ids=list(READERS))
def read(request: pytest.FixtureRequest) -> Read:
    reader: Read = request.param
    return reader


@pytest.fixture(params=["unix", "tcp"])
def daemon(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Socket]:
    served = Socket(request.param, tmp_path)
    served.start()
    yield served
    served.stop()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Socket]:
    served = Socket("tcp", tmp_path, Token(SECRET.encode()))
    served.start()
    yield served
    served.stop()


def test_it_imports_nothing_but_the_standard_library() -> None:
    program = (
        "import sys; before = set(sys.modules); import streamgmm.client\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["streamgmm"]


def test_records_come_as_they_are_written(read: Read, daemon: Socket) -> None:
    sent = [status(1), start(2), end(3)]
    records = read(daemon.address, 4, after=lambda n: daemon.publish(*sent) if n == 1 else None)
    assert records[1:] == [json.loads(encode_json(record)) for record in sent]


def test_after_a_restart_it_connects_again_and_is_greeted_again(read: Read, daemon: Socket) -> None:
    losses: list[tuple[StreamgmmError, float]] = []

    def come_back(error: StreamgmmError, wait_s: float) -> None:
        losses.append((error, wait_s))
        if len(losses) == 2:  # the first attempt finds nobody
            daemon.start(start(5))

    stop = {1: daemon.stop}
    records = read(daemon.address, 3, after=lambda n: stop.get(n, str)(), on_lost=come_back, max_wait_s=0.01)
    assert [record.get("run_id") for record in records] == ["r1", "r2", None]
    assert records[2]["label"] == "door"
    assert ["ended the connection" in str(losses[0][0]), "no daemon answers" in str(losses[1][0])] == [True, True]
    assert all(wait_s <= 0.01 for _, wait_s in losses)


def test_without_reconnection_the_end_of_the_daemon_is_the_end(read: Read, daemon: Socket) -> None:
    stop = {1: daemon.stop}
    assert len(read(daemon.address, reconnect=False, after=lambda n: stop.get(n, str)())) == 1


def test_nobody_there_is_an_error_at_once(read: Read, tmp_path: Path) -> None:
    with pytest.raises(NotRunningError, match="no daemon answers: No such file"):
        read(f"unix://{tmp_path}/none")
    with pytest.raises(NotRunningError, match="no daemon answers"):
        read("tcp://127.0.0.1:1")
    with pytest.raises(NotRunningError, match="no daemon answers: AF_UNIX path too long"):
        read(f"unix://{tmp_path}/{'x' * 200}")


@pytest.mark.parametrize(
    "address",
    ["stdout:", "unix://", "tcp://host", "tcp://:1", "tcp://h:0", "http://127.0.0.1:1", "tcp://h:x", "tcp://[::1", ""],
)
def test_what_is_no_address_is_a_usage_error(read: Read, address: str) -> None:
    with pytest.raises(UsageError):
        read(address)


@pytest.mark.parametrize("host", ["x" * 64, "hooks..example.com", ".local", "a\0b"])
def test_a_name_that_no_machine_can_have_is_a_usage_error(read: Read, host: str) -> None:
    with pytest.raises(UsageError):
        read(f"tcp://{host}:1")


def test_addresses_have_the_forms_of_the_sinks() -> None:
    assert parse_address("unix:///run/s").path == "/run/s"
    assert parse_address("tcp://[::1]:7")[2:] == ("::1", 7)
    assert parse_address("tcp://localhost:7")[2:] == ("localhost", 7)


@pytest.mark.parametrize("token", [SECRET, SECRET.encode(), f"{SECRET}\n", f" {SECRET}\r\n"])
def test_E17_a_token_admits(read: Read, guarded: Socket, token: str | bytes) -> None:
    assert read(guarded.address, 1, token=token)[0]["type"] == "hello"


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("token", "says"), [("fedcba9876543210" * 4, "refuses the token"), ("wrong", "refuses")])
def test_E17_a_wrong_token_is_an_error_however_long_one_waits(
    read: Read, guarded: Socket, token: str, says: str
) -> None:
    with pytest.raises(TokenRefusedError, match=says):
        read(guarded.address, 1, token=token)


def test_E17_a_token_that_is_refused_after_a_restart_is_not_tried_again(read: Read, guarded: Socket) -> None:
    def change_token() -> None:
        guarded.stop()
        guarded._token = Token(b"fedcba9876543210" * 4)
        guarded.start()

    with pytest.raises(TokenRefusedError):
        read(guarded.address, token=SECRET, after=lambda n: change_token(), max_wait_s=0.01)


@pytest.mark.parametrize("token", ["two\nlines", "schlüssel"])
def test_a_token_is_one_line_of_ascii(read: Read, daemon: Socket, token: str) -> None:
    with pytest.raises(UsageError):
        read(daemon.address, 1, token=token)


def test_a_unix_socket_gets_no_token(read: Read, tmp_path: Path) -> None:
    daemon = Socket("unix", tmp_path)
    daemon.start()
    assert read(daemon.address, 1, token=SECRET)[0]["type"] == "hello"
    daemon.stop()


STRANGERS = {
    "mail": b"220 mail.example.org ESMTP\n",
    "no object": b"[]\n",
    "no type": b'{"t": 1}\n',
    "no text as type": b'{"type": 1}\n',
    "no UTF-8": b'{"type": "\xff"}\n',
    "endless line": b"x" * (MAX_LINE_BYTES + 70_000),
    "endless depth": b"[" * 100_000 + b"\n",
    "endless number": b'{"type": "hello", "t": ' + b"9" * 10_000 + b"}\n",
}


@pytest.mark.parametrize("said", STRANGERS.values(), ids=STRANGERS)
@pytest.mark.parametrize("reconnect", [True, False])
def test_a_peer_that_is_no_daemon_is_an_error(read: Read, tmp_path: Path, said: bytes, reconnect: bool) -> None:
    with peer(tmp_path, said) as address, pytest.raises(NotRunningError, match="not a daemon of this kind"):
        read(address, reconnect=reconnect)


def test_a_peer_that_says_nothing_is_an_error(read: Read, tmp_path: Path) -> None:
    with peer(tmp_path) as address, pytest.raises(NotRunningError, match="ended before a record"):
        read(address)


@pytest.mark.parametrize("said", [b"", b'{"type": "hel'], ids=["nothing", "half a record"])
def test_a_peer_that_does_not_greet_is_an_error(read: Read, tmp_path: Path, said: bytes) -> None:
    with (
        peer(tmp_path, said, hangs_up=False) as address,
        pytest.raises(NotRunningError, match="does not greet as a daemon does"),
    ):
        read(address, timeout_s=0.05)


def test_after_its_greeting_a_daemon_may_be_silent(read: Read, daemon: Socket) -> None:
    def publish_late(n_read: int) -> None:
        if n_read == 1:
            threading.Timer(0.3, daemon.publish, [status(1)]).start()

    assert [record["type"] for record in read(daemon.address, 2, after=publish_late, timeout_s=0.1)] == [
        "hello",
        "status",
    ]


def test_too_many_subscribers_is_a_temporary_error(read: Read, tmp_path: Path) -> None:
    refusal = encode_json(Error(t=0.0, message="too many subscribers; try again later"))
    with peer(tmp_path, refusal) as address, pytest.raises(TemporaryError, match="too many subscribers"):
        read(address)


def test_garbage_after_records_is_a_loss(read: Read, tmp_path: Path) -> None:
    losses: list[str] = []
    with peer(tmp_path, encode_json(HELLO), b"\0garbage\n") as address:
        records = read(address, 2, max_wait_s=0.01, on_lost=lambda error, _: losses.append(str(error)))
        assert [record["type"] for record in records] == ["hello", "hello"]
        assert "not a daemon" in losses[0]
        with pytest.raises(NotRunningError, match="not a daemon"):
            read(address, reconnect=False)


def test_lines_are_joined_however_they_are_cut(read: Read, tmp_path: Path) -> None:
    line = encode_json(HELLO)
    with peer(tmp_path, line[:10], line[10:] + line[:-1], b"\n" + line[:5]) as address:
        assert len(read(address, reconnect=False)) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_E31_a_user_who_may_not_open_the_socket_is_told_so(read: Read, tmp_path: Path) -> None:
    daemon = Socket("unix", tmp_path)
    daemon.start()
    with as_ordinary_user(), pytest.raises(PermissionDeniedError, match="may not open the socket"):
        read(daemon.address)
    daemon.stop()


def test_waits_grow_up_to_the_longest_and_begin_anew_with_a_record() -> None:
    waits: list[float] = []
    retrying = Retrying("unix://s", reconnect=True, max_wait_s=3.0, on_lost=lambda _, wait_s: waits.append(wait_s))
    retrying.note_record()
    for _ in range(8):
        assert retrying.wait_after(ConnectionResetError()) == waits[-1]
    longest_s = [min(3.0, FIRST_WAIT_S * 2**i) for i in range(8)]
    assert all(0.5 * most <= wait_s <= most for wait_s, most in zip(waits, longest_s, strict=True))
    retrying.note_record()
    retrying.wait_after(ConnectionResetError())
    assert waits[-1] <= FIRST_WAIT_S


def closing_later(records: Connection, is_waiting: threading.Event) -> threading.Thread:
    def run() -> None:
        assert is_waiting.wait(TIMEOUT_S)
        records.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_closing_in_another_thread_ends_the_iteration(daemon: Socket) -> None:
    records = connect(daemon.address)
    is_waiting = threading.Event()
    closer = closing_later(records, is_waiting)
    for record in records:
        assert record["type"] == "hello"
        is_waiting.set()
    closer.join()
    records.close()
    assert next(records, None) is None


def test_closing_ends_the_wait_for_a_daemon_that_is_gone(daemon: Socket) -> None:
    is_waiting = threading.Event()
    records = connect(daemon.address, max_wait_s=3600.0, on_lost=lambda error, wait_s: is_waiting.set())
    closer = closing_later(records, is_waiting)
    for _ in records:
        daemon.stop()
    closer.join()


def test_closing_ends_the_iteration_before_the_next_record(daemon: Socket) -> None:
    daemon.publish(status(1), start(2))
    records = connect(daemon.address)
    next(records)
    records.close()
    assert list(records) == []


def test_a_task_that_waits_for_records_can_be_cancelled(daemon: Socket) -> None:
    async def run() -> None:
        async with connect_async(daemon.address) as records:
            assert (await anext(records))["type"] == "hello"
            task = asyncio.ensure_future(anext(records))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(asyncio.wait_for(run(), TIMEOUT_S))


def test_the_asynchronous_variant_connects_with_its_first_record_or_not_at_all(daemon: Socket) -> None:
    async def run() -> None:
        assert (await anext(connect_async(daemon.address)))["type"] == "hello"
        async with connect_async(daemon.address):
            pass

    asyncio.run(asyncio.wait_for(run(), TIMEOUT_S))
