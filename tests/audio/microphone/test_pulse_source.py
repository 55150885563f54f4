"""The native protocol of PulseAudio, spoken with a server that misbehaves as told (a real one: tests/system)."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamgmm.audio.microphone import pulse_source
from streamgmm.audio.microphone.pulse_source import PulseConnection, PulseError

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


def fields(*values: int | bytes | str | dict[str, str] | None) -> bytes:
    """Values as the protocol packs them; bytes stand for themselves."""
    return b"".join(value if isinstance(value, bytes) else pulse_source._encode(value) for value in values)


def stream(token: str, source: int) -> bytes:
    # index, name, module, client, source, format, channel map, two latencies, two names, properties
    middle = b"a" + bytes(6) + b"m\1\0" + 2 * (b"U" + bytes(8)) + b"N" + b"tdriver\0"
    return fields(7, "record", None, 3, source, middle, {"media.name": "x", "streamgmm.capture": token})


def source(index: int, name: str, monitor_of: int = pulse_source.NO_INDEX, **properties: str) -> bytes:
    # index, name, description, format, channel map, module, volume, mute, monitor of, latency, driver, flags, ...
    sample_spec = b"a\5\2" + (48000).to_bytes(4, "big")
    description = properties.pop("description", None)
    names = {key.replace("_", "."): value for key, value in properties.items()}
    head = fields(index, name, description, sample_spec, b"m\1\0", 2, b"v\1" + bytes(4), b"0")
    return head + fields(monitor_of, None, b"U" + bytes(8), "driver", 0, names, b"U" + bytes(8))


def answering(streams: bytes, sources: bytes) -> Answer:
    def answer(connection: socket.socket, message: bytes) -> None:
        command = int.from_bytes(message[1:5], "big")
        if command == pulse_source.GET_SOURCE_OUTPUT_INFO_LIST:
            event = struct.pack(">IIIII", 5, 0xFFFFFFFF, 0, 0, 0) + b"L" + (66).to_bytes(4, "big")
            connection.sendall(event + reply(message, streams))
        elif command == pulse_source.GET_SERVER_INFO:
            server = fields("a server", "15", "user", "host", b"a" + bytes(6), "sink", "microphone", 1)
            connection.sendall(reply(message, server))
        elif command == pulse_source.GET_SOURCE_INFO_LIST:
            connection.sendall(reply(message, sources))
        else:
            connection.sendall(reply(message))

    return answer


def test_A7_the_source_of_a_stream_is_found_among_those_of_others(serve: Callable[[Answer], None]) -> None:
    streams = stream("a", 0) + stream("b", 5) + stream("c", pulse_source.NO_INDEX)
    serve(answering(streams, source(0, "other") + source(5, "microphone")))
    connection = PulseConnection()
    found = connection.source_of(("streamgmm.capture", "b"))
    assert found is not None
    assert found["name"] == "microphone"
    connection.wait()  # returns at once: an event came while the answer was awaited
    assert connection.source_of(("streamgmm.capture", "c")) is None  # connected to nothing
    assert connection.source_of(("streamgmm.capture", "d")) is None
    assert connection.source_of(("media.name", "b")) is None
    connection.close()


def test_sources_are_described(serve: Callable[[Answer], None]) -> None:
    usb = source(5, "microphone", alsa_card_name="USB Audio", description="USB Microphone")
    serve(answering(b"", source(0, "sink.monitor", 9, node_name="sink") + usb))
    connection = PulseConnection()
    monitor, microphone = connection.sources()
    connection.close()
    assert monitor == {
        "index": 0,
        "name": "sink.monitor",
        "description": "sink.monitor",
        "host_api": "a server",
        "max_channels": 2,
        "default_rate_hz": 48000,
        "is_default": False,
        "is_monitor": True,
        "node": "sink",
        "alsa_name": ": ",
    }
    assert (microphone["description"], microphone["node"]) == ("USB Microphone", "microphone")
    assert (microphone["is_default"], microphone["is_monitor"]) == (True, False)


@pytest.mark.parametrize("cut", range(1, 118, 9))
def test_sources_that_are_cut_off_are_an_error(serve: Callable[[Answer], None], cut: int) -> None:
    whole = source(5, "microphone", alsa_card_name="USB Audio", description="USB Microphone")
    serve(answering(b"", whole[:cut]))
    connection = PulseConnection()
    with pytest.raises(PulseError):
        connection.sources()
    connection.close()


def test_a_stream_that_never_gets_a_source_is_waited_for_no_longer_than_asked(serve: Callable[[Answer], None]) -> None:
    serve(answering(b"", source(5, "microphone")))
    connection = PulseConnection()
    assert connection.wait_for_source(("streamgmm.capture", "a"), 0.1) is None
    connection.close()
