"""The native protocol of PulseAudio, spoken with a server that misbehaves as told (a real one: tests/system)."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamgmm.audio import pulse_source
from streamgmm.audio.pulse_source import PulseConnection, PulseError

Answer = Callable[[socket.socket, bytes], None]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], None]]:
    """A server that gives each message to a function."""
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/native")
    monkeypatch.setattr(pulse_source, "TIMEOUT_S", 0.3)
    server = socket.create_server(str(tmp_path / "native"), family=socket.AF_UNIX)

    def begin(answer: Answer) -> None:
        def run() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(ConnectionResetError):
                while header := connection.recv(20):
                    answer(connection, connection.recv(struct.unpack(">I", header[:4])[0]))

        threading.Thread(target=run, daemon=True).start()

    yield begin
    server.close()


def reply(to: bytes, *values: bytes, kind: int = pulse_source.REPLY) -> bytes:
    payload = b"L" + kind.to_bytes(4, "big") + to[5:10] + b"".join(values)
    return struct.pack(">IIIII", len(payload), 0xFFFFFFFF, 0, 0, 0) + payload


def test_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSE_SERVER", "unix:/nonexistent")
    with pytest.raises(PulseError, match="no server"):
        PulseConnection()


@pytest.mark.parametrize(
    "answer",
    [
        lambda connection, message: None,
        lambda connection, message: connection.shutdown(socket.SHUT_RDWR),
        lambda connection, message: connection.sendall(b"\xff" * 4096),
        lambda connection, message: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        lambda connection, message: connection.sendall(reply(message, b"?")),
        lambda connection, message: connection.sendall(reply(message, b"L\0\0\0\1", kind=pulse_source.ERROR)),
        lambda connection, message: connection.sendall(reply(message, b"tno end")),
    ],
    ids=["nothing", "closed", "garbage", "http", "unknown", "refused", "cut"],
)
def test_a_server_that_does_not_answer_as_it_should_is_one_error(serve: Callable[[Answer], None], answer) -> None:
    serve(answer)
    with pytest.raises(PulseError):
        PulseConnection()


def test_A7_the_source_of_a_stream_is_found_among_those_of_others(serve: Callable[[Answer], None]) -> None:
    def stream(pid: int, source: int) -> bytes:
        # index, name, module, client, source, format, channel map, two latencies, two names, properties
        values = [7, "record", None, 3, source]
        tail = b"a" + bytes(6) + b"m\1\0" + 2 * (b"U" + bytes(8)) + b"N" + b"tdriver\0"
        properties = {"media.name": "x", "application.process.id": str(pid)}
        return b"".join(map(pulse_source._encode, values)) + tail + pulse_source._encode(properties)

    def answer(connection: socket.socket, message: bytes) -> None:
        command = int.from_bytes(message[1:5], "big")
        if command == pulse_source.GET_SOURCE_OUTPUT_INFO_LIST:
            event = struct.pack(">IIIII", 5, 0xFFFFFFFF, 0, 0, 0) + b"L" + (66).to_bytes(4, "big")
            connection.sendall(event + reply(message, stream(1, 0), stream(os.getpid(), 5)))
        elif command == pulse_source.GET_SOURCE_INFO:
            assert message[10:15] == b"L\0\0\0\5"
            connection.sendall(reply(message, b"L\0\0\0\5", b"tmicrophone\0"))
        else:
            connection.sendall(reply(message))

    serve(answer)
    connection = PulseConnection()
    assert connection.source_of(os.getpid()) == "microphone"
    connection.wait()  # returns at once: an event came while the answer was awaited
    assert connection.source_of(2) is None
    connection.close()
