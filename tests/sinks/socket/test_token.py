from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamgmm.errors import ConfigError, DataError, InputMissingError
from streamgmm.records import Error, Hello, decode_json
from streamgmm.sinks.socket.listeners import TcpListener
from streamgmm.sinks.socket.lobby import MAX_VISITORS
from streamgmm.sinks.socket.sockets import SocketSink
from streamgmm.sinks.socket.token import ANSWER_S, Handshake, Token, read_token
from tests.sinks.sink_rig import HELLO, TIMEOUT_S, Client, Failures, FakeClock, LogLines, message, n_open_fds, status

SECRET = b"0123456789abcdef0123456789abcdef"
OpenSink = Callable[..., SocketSink]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sink(clock: FakeClock, failures: Failures) -> Iterator[SocketSink]:
    sink = SocketSink(TcpListener("tcp://127.0.0.1:0"), max_clients=2, token=Token(SECRET), clock=clock)
    sink.open(failures)
    sink.publish(message(HELLO))
    yield sink
    sink.close(TIMEOUT_S)
    assert failures.is_empty


def join(sink: SocketSink) -> Client:
    client = Client(sink.address)
    client.connection.sendall(SECRET + b"\n")
    assert isinstance(client.read(1)[0], Hello)
    return client


def write_token(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_the_token_lets_in(sink: SocketSink) -> None:
    with join(sink) as client:
        sink.publish(message(status(1)))
        assert client.read(1)[0].seq == 1


@pytest.mark.parametrize("said", [b"wrong\n", b"\n", SECRET[:-1] + b"\n", SECRET + b"x\n", b" " + SECRET + b"\n"])
def test_E17_another_word_is_refused_in_one_line_and_tells_nothing(sink: SocketSink, said: bytes) -> None:
    with Client(sink.address) as client:
        client.connection.sendall(said)
        answer = decode_json(client.read_to_end())
    assert answer == Error(t=0.0, message="the first line has to be the token")
    assert sink.n_clients == 0


def test_a_token_that_comes_byte_by_byte_with_the_line_end_of_windows(sink: SocketSink) -> None:
    with Client(sink.address) as client:
        client.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in SECRET + b"\r\n":
            client.connection.sendall(bytes([byte]))
        assert isinstance(client.read(1)[0], Hello)


def test_E14_a_client_that_says_nothing_is_cut_after_five_seconds(
    sink: SocketSink, clock: FakeClock, log: LogLines
) -> None:
    with join(sink) as healthy, Client(sink.address) as silent:
        silent.connection.sendall(SECRET)  # and no end of the line
        clock.now_s += ANSWER_S
        while True:
            # It may have come in only now; each record wakes the thread, which looks at the clock.
            sink.publish(message(status(1)))
            healthy.read(1)
            silent.connection.settimeout(0.01)
            try:
                answer = silent.connection.recv(4096)
                break
            except TimeoutError:
                clock.now_s += ANSWER_S
        assert isinstance(decode_json(answer), Error)
        log.wait_for("client.rejected", "reason=token")


def test_E13_a_line_without_end_is_cut(sink: SocketSink) -> None:
    with Client(sink.address) as hostile, pytest.raises((BrokenPipeError, ConnectionResetError)):
        hostile.connection.sendall(bytes(1 << 26))


def test_E7_E15_strangers_take_no_subscribers_place_and_cost_few_descriptors(sink: SocketSink) -> None:
    with join(sink) as first:
        n_fds = n_open_fds()
        strangers = [Client(sink.address) for _ in range(4 * MAX_VISITORS)]
        with join(sink) as second:
            # Theirs, and the one of `second` at both ends.
            assert n_open_fds() - n_fds <= len(strangers) + MAX_VISITORS + 2
            for seq in (1, 2):
                sink.publish(message(status(seq)))
                assert first.read(1)[0].seq == second.read(1)[0].seq == seq
        for stranger in strangers:
            stranger.close()


def test_E7_with_the_token_too_there_are_only_so_many(sink: SocketSink) -> None:
    with join(sink), join(sink), Client(sink.address) as third:
        third.connection.sendall(SECRET + b"\n")
        answer = decode_json(third.read_to_end())
        assert isinstance(answer, Error)
        assert "too many" in answer.message


def test_E10_strangers_that_leave_are_forgotten(sink: SocketSink) -> None:
    n_fds = n_open_fds()
    for _ in range(3 * MAX_VISITORS):
        Client(sink.address).close()
    with join(sink):
        pass
    sink.close(TIMEOUT_S)
    assert n_open_fds() < n_fds


def test_C15_a_token_shows_itself_to_nobody() -> None:
    assert SECRET.decode() not in f"{Token(SECRET)!r}{Token(SECRET)}"


def test_C15_neither_right_nor_wrong_words_are_logged(sink: SocketSink, log: LogLines, caplog) -> None:
    with caplog.at_level(logging.DEBUG):
        join(sink).close()
        with Client(sink.address) as client:
            client.connection.sendall(b"almost" + SECRET + b"\n")
            client.read_to_end()
        log.wait_for("reason=token")
    assert SECRET.decode() not in caplog.text


def test_the_comparison_takes_no_shortcut(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("hmac.compare_digest", lambda one, other: seen.append((one, other)))
    Token(SECRET).matches(b"guess")
    assert seen == [(SECRET, b"guess")]


@pytest.mark.parametrize(
    "token",
    [secrets.token_hex(16), secrets.token_urlsafe(22), "Tr0ub4dor&3-correct-horse"],
    ids=["hex", "url", "words"],
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_token_of_128_bits_is_accepted(tmp_path: Path, token: str, end: str) -> None:
    path = write_token(tmp_path / "t", (token + end).encode())
    assert read_token(path).matches(token.encode())


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"secret\n", secrets.token_hex(15).encode(), b"1" * 64, b"correcthorsebatterystapl"[:24]],
    ids=["empty", "newline", "word", "short", "ones", "pairs"],
)
def test_E17_a_token_that_can_be_guessed_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigError, match=r"at least 128 random ones .*openssl rand -hex 32") as caught:
        read_token(write_token(tmp_path / "t", content))
    assert caught.value.exit_code == 78


@pytest.mark.parametrize("content", [SECRET + b"\n" + SECRET, b"\xff" * 40, SECRET + b" " + SECRET])
def test_C15_a_refused_token_is_not_quoted(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        read_token(write_token(tmp_path / "t", content))
    assert SECRET.decode() not in str(caught.value)


def test_a_token_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match="no such file"):
        read_token(tmp_path / "none")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_C11_a_token_file_that_is_no_file_does_not_hang(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        read_token(tmp_path / "pipe" if kind == "pipe" else Path("/dev/zero"))


@pytest.mark.skipif(os.name != "posix", reason="modes of UNIX")
@pytest.mark.parametrize(("mode", "is_warned"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_C15_a_token_that_anybody_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, is_warned: bool
) -> None:
    read_token(write_token(tmp_path / "t", SECRET, mode))
    assert ("token.exposed" in caplog.text) == is_warned
    assert SECRET.decode() not in caplog.text


def test_what_follows_the_token_is_forgotten() -> None:
    here, there = socket.socketpair()
    with here, there:
        handshake = Handshake(here, "peer", Token(SECRET), 0.0)
        assert handshake.receive() == "waiting"
        there.sendall(SECRET + b"\nGET / HTTP/1.0\r\n")
        assert handshake.receive() == "granted"
