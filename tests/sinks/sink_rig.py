"""Records, clients and waiting for log lines, shared by the tests of the sinks."""

from __future__ import annotations

import logging
import queue
import resource
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from streamgmm.errors import StreamgmmError
from streamgmm.records import AnyRecord, Dropped, End, Hello, ModelInfo, Record, Start, Status, decode_json, encode_json
from streamgmm.sinks.sink import Message

TIMEOUT_S = 10.0

HELLO = Hello(
    t=0.0,
    source="mic",
    run_id="r1",
    version="0.1.0",
    model=ModelInfo(name="home", version="1", sha256="0" * 64),
    labels=["door", "kettle"],
    sample_rate_hz=16000,
    window_s=1.0,
    hop_s=0.12,
)


def message(record: Record) -> Message:
    return Message(record, encode_json(record))


def status(seq: int, detail: str = "") -> Status:
    return Status(seq=seq, t=seq / 10, source="mic", state="ok", detail=detail)


def start(seq: int, event_id: str = "e1", label: str = "door") -> Start:
    return Start(
        seq=seq, t=2.0, source="mic", id=event_id, label=label, score=0.75, llr=3.0, threshold=0.6, start_t=1.5
    )


def end(seq: int, event_id: str = "e1", label: str = "door") -> End:
    return End(
        seq=seq,
        t=4.0,
        source="mic",
        id=event_id,
        label=label,
        start_t=1.5,
        end_t=3.25,
        duration_s=1.75,
        max_score=0.9,
        mean_score=0.8,
        reason="offset",
    )


def account(records: Iterable[AnyRecord], first_seq: int = 0) -> int:
    """Check that every record is there or announced as dropped, in order; returns the seq that comes next."""
    expected_seq = first_seq
    for record in records:
        assert record.seq == expected_seq
        if isinstance(record, Dropped):
            assert record.from_seq == expected_seq
            assert record.count > 0
            expected_seq += record.count
        else:
            expected_seq += 1
    return expected_seq


def no_failure(error: StreamgmmError) -> None:
    """An `on_failure` of a sink that must not fail."""
    raise AssertionError(f"the sink failed: {error}") from error


class Failures:
    """An `on_failure` that can be waited for."""

    def __init__(self) -> None:
        self._errors: queue.SimpleQueue[StreamgmmError] = queue.SimpleQueue()

    def __call__(self, error: StreamgmmError) -> None:
        self._errors.put(error)

    def wait(self) -> StreamgmmError:
        return self._errors.get(timeout=TIMEOUT_S)

    @property
    def is_empty(self) -> bool:
        return self._errors.empty()


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class LogLines(logging.Handler):
    """The lines of the sinks' logger, to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.put(record.getMessage())

    def wait_for(self, *words: str, timeout_s: float = TIMEOUT_S) -> str:
        while True:
            line = self._lines.get(timeout=timeout_s)
            if all(word in line for word in words):
                return line


@contextmanager
def log_of(name: str) -> Iterator[LogLines]:
    """What a part of streamgmm logs within, from INFO on."""
    logger = logging.getLogger(f"streamgmm.{name}")
    lines, level = LogLines(), logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)


class Reader:
    """Reads lines from a descriptor through `receive(n_bytes)`."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._unread = b""

    def read_lines(self, n_lines: int) -> list[bytes]:
        while self._unread.count(b"\n") < n_lines:
            received = self._receive(65536)
            assert received, "the stream ended early"
            self._unread += received
        *lines, self._unread = self._unread.split(b"\n", n_lines)
        return lines

    def read(self, n_records: int) -> list[AnyRecord]:
        return [decode_json(line) for line in self.read_lines(n_records)]

    def read_until(self, last_seq: int) -> list[AnyRecord]:
        """Records up to the one of that seq, or the hole that holds it."""
        records: list[AnyRecord] = []
        while not records or _last_seq(records[-1]) < last_seq:
            records += self.read(1)
        return records

    def read_to_end(self) -> bytes:
        data = self._unread
        while received := self._receive(65536):
            data += received
        self._unread = b""
        return data


def _last_seq(record: AnyRecord) -> int:
    return record.from_seq + record.count - 1 if isinstance(record, Dropped) else record.seq


class Client(Reader):
    """A subscriber of a socket sink.

    Args:
        address: as the sink tells it.
        receive_space_bytes: SO_RCVBUF; small for a client that is to get stuck soon.
        is_connected: False to call `connect` later.
    """

    def __init__(self, address: str, receive_space_bytes: int | None = None, *, is_connected: bool = True) -> None:
        family, self._target = _resolve(address)
        self.connection = socket.socket(family, socket.SOCK_STREAM)
        if receive_space_bytes is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_space_bytes)
        super().__init__(self.connection.recv)
        if is_connected:
            self.connect()

    def connect(self) -> None:
        # Blocking, as a non-blocking UNIX socket does not wait for room in the backlog.
        self.connection.connect(self._target)
        self.connection.settimeout(TIMEOUT_S)

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _resolve(address: str) -> tuple[int, str | tuple[str, int]]:
    if address.startswith("unix://"):
        return socket.AF_UNIX, address.removeprefix("unix://")
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    return family, (host.strip("[]"), int(port))


def n_open_fds() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@contextmanager
def full_disk(max_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond `max_bytes`: a write takes what has room, and the next one fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
