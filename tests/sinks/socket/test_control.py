"""Commands over a UNIX socket: obeyed for the user of the daemon, and refused in one line whatever comes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from streamgmm.errors import UsageError
from streamgmm.sinks.asking import send_command
from streamgmm.sinks.control import PREFIX, Command
from streamgmm.sinks.socket import listeners
from streamgmm.sinks.socket.listeners import Listener, TcpListener
from streamgmm.sinks.socket.sockets import SocketSink
from streamgmm.sinks.socket.unix import UnixListener
from tests.sinks.sink_rig import HELLO, Client, message, no_failure, status

PAUSE = Command(action="pause", for_s=60.0)


class Ears:
    """Obeys, and keeps what was obeyed; refuses the label `mouse`."""

    def __init__(self) -> None:
        self.obeyed: list[Command] = []

    def obey(self, command: Command, by: str) -> None:
        assert f"pid:{os.getpid()}" in by
        if "mouse" in command.labels:
            raise UsageError("no model reports the label 'mouse'")
        self.obeyed.append(command)


@contextmanager
def serving(listener: Listener, ears: Ears) -> Iterator[SocketSink]:
    sink = SocketSink(listener, max_clients=1)
    sink.obey = ears.obey
    sink.open(no_failure)
    try:
        sink.publish(message(HELLO))
        sink.publish(message(status(1)))
        yield sink
    finally:
        sink.close(1.0)


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
def sink(tmp_path: Path, ears: Ears) -> Iterator[SocketSink]:
    with serving(UnixListener(f"unix://{tmp_path}/s"), ears) as sink:
        yield sink


def test_a_command_is_obeyed(sink: SocketSink, ears: Ears) -> None:
    send_command(sink.name, PAUSE, 10.0)
    assert ears.obeyed == [PAUSE]


def test_a_command_is_obeyed_beside_as_many_subscribers_as_there_may_be(sink: SocketSink, ears: Ears) -> None:
    with Client(sink.address) as client:
        client.read(2)
        send_command(sink.name, PAUSE, 10.0)
    assert ears.obeyed == [PAUSE]


def test_a_refusal_names_its_reason(sink: SocketSink, ears: Ears) -> None:
    with pytest.raises(UsageError, match="the daemon refuses: no model reports the label 'mouse'"):
        send_command(sink.name, Command(action="off", labels=["mouse"]), 10.0)
    assert ears.obeyed == []


def test_the_group_of_the_socket_may_listen_and_not_control(
    sink: SocketSink, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "_credentials", lambda connection: (1, 12345))
    with pytest.raises(UsageError, match="only the user of the daemon"):
        send_command(sink.name, PAUSE, 10.0)
    assert ears.obeyed == []


def test_nobody_controls_it_over_tcp(ears: Ears) -> None:
    with serving(TcpListener("tcp://127.0.0.1:0"), ears) as sink, Client(sink.address) as client:
        client.connection.sendall(PREFIX + b'{"action":"pause"}\n')
        lines = client.read_lines(3)
    assert "only the user of the daemon" in json.loads(lines[-1])["refused"]
    assert ears.obeyed == []
    with pytest.raises(UsageError, match="over a UNIX socket only"):
        send_command(sink.address, PAUSE, 10.0)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xff\xfe",
        b"[" * 3000,
        b'{"action":"explode"}',
        b'{"action":"pause","for_s":-1}',
        b'{"action":"pause","for_s":1e99}',
        b'{"action":"pause","for_s":NaN}',
        b'{"action":"pause","labels":["a"]}',
        b'{"action":"off"}',
        b'{"action":"off","labels":"a"}',
        b'{"action":"resume","for_s":1}',
        b'{"action":"resume","more":1}',
    ],
)
def test_a_command_that_is_none_is_refused_and_the_client_stays(sink: SocketSink, ears: Ears, said: bytes) -> None:
    with Client(sink.address) as client:
        client.read(2)
        client.connection.sendall(PREFIX + said + b"\n")
        assert json.loads(client.read_lines(1)[0])["refused"]
        sink.publish(message(status(2)))
        assert client.read(1)[0].seq == 2
    assert ears.obeyed == []


def test_a_flood_of_commands_is_cut_off(sink: SocketSink, caplog: pytest.LogCaptureFixture) -> None:
    with Client(sink.address) as client, suppress(OSError):
        client.connection.sendall((PREFIX + b"x\n") * 2000)
        client.read_to_end()
    send_command(sink.name, PAUSE, 10.0)
    assert sink.n_closed["protocol"] == 1
    assert len([line for line in caplog.messages if "control.refused" in line]) < 5
