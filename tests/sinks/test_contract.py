"""What every sink promises, held by every sink."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from streamgmm.records import decode_json
from streamgmm.sinks.exec import ExecSink
from streamgmm.sinks.file import FileSink
from streamgmm.sinks.sink import Sink
from streamgmm.sinks.socket.listeners import TcpListener
from streamgmm.sinks.socket.sockets import SocketSink
from streamgmm.sinks.socket.token import Token
from streamgmm.sinks.socket.unix import UnixListener
from streamgmm.sinks.stdout import StdoutSink
from tests.sinks.sink_rig import HELLO, TIMEOUT_S, Client, Failures, Reader, account, message, n_open_fds, status

MAX_RECORDS = 32


class StdoutCase:
    def __init__(self, _directory: Path) -> None:
        self._read_fd, self._write_fd = os.pipe()
        self.sink: Sink = StdoutSink(fd=self._write_fd, max_records=MAX_RECORDS)

    def join(self) -> Reader:
        return Reader(lambda n_bytes: os.read(self._read_fd, n_bytes))

    def end_stream(self) -> None:
        """The sink leaves its descriptor open; the reader sees the end when the process does."""
        os.close(self._write_fd)
        self._write_fd = -1

    def close(self) -> None:
        # The reading end first: it frees a writer that is stuck.
        os.close(self._read_fd)
        if self._write_fd >= 0:
            os.close(self._write_fd)


class SocketCase:
    def __init__(self, sink: SocketSink) -> None:
        self.sink: Sink = sink
        self._sockets = sink
        self._clients: list[Client] = []

    def join(self) -> Reader:
        self._clients.append(Client(self._sockets.address, receive_space_bytes=4096))
        return self._clients[-1]

    def end_stream(self) -> None:
        pass

    def close(self) -> None:
        for client in self._clients:
            client.close()


class UnixCase(SocketCase):
    def __init__(self, directory: Path) -> None:
        super().__init__(SocketSink(UnixListener(f"unix://{directory}/s"), max_records=MAX_RECORDS))


class TcpCase(SocketCase):
    def __init__(self, _directory: Path) -> None:
        super().__init__(SocketSink(TcpListener("tcp://127.0.0.1:0"), max_records=MAX_RECORDS))


class TokenCase(SocketCase):
    """TCP whose clients have to say a token."""

    TOKEN = b"0123456789abcdef0123456789abcdef"

    def __init__(self, _directory: Path) -> None:
        listener = TcpListener("tcp://127.0.0.1:0")
        super().__init__(SocketSink(listener, max_records=MAX_RECORDS, token=Token(self.TOKEN)))

    def join(self) -> Reader:
        reader = super().join()
        self._clients[-1].connection.sendall(self.TOKEN + b"\n")
        return reader


class ExecCase:
    """A command that writes to a named pipe."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "pipe"
        os.mkfifo(self.path)
        self._read_fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        # Keeps the reader from seeing an end between two writers.
        self._write_fd = os.open(self.path, os.O_WRONLY)
        os.set_blocking(self._read_fd, True)
        self.sink: Sink = ExecSink(f"exec:tee {self.path}", max_running=1, max_records=MAX_RECORDS)

    def join(self) -> Reader:
        return Reader(lambda n_bytes: os.read(self._read_fd, n_bytes))

    def end_stream(self) -> None:
        os.close(self._write_fd)
        self._write_fd = -1

    def close(self) -> None:
        os.close(self._read_fd)
        if self._write_fd >= 0:
            os.close(self._write_fd)


class FileCase:
    """A file, read from its beginning while it grows."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "file"
        self._path.touch()
        self._file = self._path.open("rb")
        self._is_over = False
        self.sink: Sink = FileSink(f"file://{self._path}", max_records=MAX_RECORDS)

    def join(self) -> Reader:
        return Reader(self._read)

    def _read(self, n_bytes: int) -> bytes:
        deadline_s = time.monotonic() + TIMEOUT_S
        while not (data := self._file.read(n_bytes)) and not self._is_over and time.monotonic() < deadline_s:
            time.sleep(0.005)
        return data

    def end_stream(self) -> None:
        self._is_over = True

    def close(self) -> None:
        self._file.close()


Case = StdoutCase | SocketCase | ExecCase | FileCase


@pytest.fixture(params=[StdoutCase, FileCase, ExecCase, UnixCase, TcpCase, TokenCase])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    case: Case = request.param(tmp_path)
    yield case
    case.sink.close(0.0)
    case.close()


def open_and_join(case: Case, failures: Failures) -> Reader:
    """A reader that has the hello."""
    case.sink.open(failures)
    case.sink.publish(message(HELLO))
    reader = case.join()
    assert reader.read(1) == [HELLO]
    return reader


def publish(sink: Sink, seqs: range) -> None:
    for seq in seqs:
        sink.publish(message(status(seq)))


def test_reader_gets_every_record_in_order(case: Case, failures: Failures) -> None:
    reader = open_and_join(case, failures)
    for first_seq in range(1, 10 * MAX_RECORDS, MAX_RECORDS):
        publish(case.sink, range(first_seq, first_seq + MAX_RECORDS))
        seqs = [record.seq for record in reader.read(MAX_RECORDS)]
        assert seqs == list(range(first_seq, first_seq + MAX_RECORDS))
    assert failures.is_empty


def test_lines_are_those_of_the_message(case: Case, failures: Failures) -> None:
    reader = open_and_join(case, failures)
    sent = message(status(1, detail="Tür \n\t\x00 🔔"))
    case.sink.publish(sent)
    assert reader.read_lines(1) == [sent.line[:-1]]


def test_E25_not_a_number_is_null(case: Case, failures: Failures) -> None:
    reader = open_and_join(case, failures)
    case.sink.publish(message(structs.replace(HELLO, hop_s=float("nan"))))
    assert b'"hop_s":null' in reader.read_lines(1)[0]


def test_publish_never_waits_for_a_reader_that_is_stuck(case: Case, failures: Failures) -> None:
    reader = open_and_join(case, failures)
    n_records = 20_000
    slowest_s = 0.0
    for seq in range(1, n_records):
        sent = message(status(seq))
        before_s = time.monotonic()
        case.sink.publish(sent)
        slowest_s = max(slowest_s, time.monotonic() - before_s)
    # A busy machine may take the processor away for a while, but nobody may wait for the reader.
    assert slowest_s < 1.0
    assert account(reader.read_until(n_records - 1), first_seq=1) == n_records


def test_close_delivers_what_waits_and_ends_the_stream(case: Case, failures: Failures) -> None:
    reader = open_and_join(case, failures)
    publish(case.sink, range(1, MAX_RECORDS))
    case.sink.close(TIMEOUT_S)
    case.end_stream()
    lines = reader.read_to_end().splitlines()
    assert [decode_json(line).seq for line in lines] == list(range(1, MAX_RECORDS))


def test_close_does_not_wait_for_a_stuck_reader(case: Case, failures: Failures) -> None:
    open_and_join(case, failures)
    publish(case.sink, range(1, 20_000))
    before_s = time.monotonic()
    case.sink.close(0.05)
    assert time.monotonic() - before_s < 2.0


def test_close_is_safe_before_open(case: Case, failures: Failures) -> None:
    case.sink.close(TIMEOUT_S)
    assert failures.is_empty


def test_publish_after_close_has_no_effect(case: Case, failures: Failures) -> None:
    reader = open_and_join(case, failures)
    for _ in range(2):
        case.sink.close(TIMEOUT_S)
        publish(case.sink, range(1, 100))
    case.end_stream()
    assert reader.read_to_end() == b""


def test_close_gives_back_threads_and_descriptors(case: Case, failures: Failures) -> None:
    n_fds, n_threads = n_open_fds(), threading.active_count()
    case.sink.open(failures)
    publish(case.sink, range(10))
    case.sink.close(TIMEOUT_S)
    assert (n_open_fds(), threading.active_count()) == (n_fds, n_threads)
