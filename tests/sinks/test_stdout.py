from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from streamgmm.errors import ConfigError, OutputError
from streamgmm.records import decode_json
from streamgmm.sinks.sink import PipeClosedError
from streamgmm.sinks.stdout import StdoutSink
from tests.sinks.sink_rig import TIMEOUT_S, Failures, LogLines, Reader, account, end, full_disk, message, start, status


class Pipe:
    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()
        self.reader = Reader(lambda n_bytes: os.read(self.read_fd, n_bytes))
        self._open_fds = {self.read_fd, self.write_fd}

    def fill(self) -> int:
        """Make the next write block; returns how many bytes stand before it."""
        os.set_blocking(self.write_fd, False)
        n_bytes = 0
        with suppress(BlockingIOError):
            while True:
                n_bytes += os.write(self.write_fd, b"x" * 4096)
        os.set_blocking(self.write_fd, True)
        return n_bytes

    def close(self, fd: int) -> None:
        if fd in self._open_fds:
            self._open_fds.remove(fd)
            os.close(fd)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    # The reading end first: it frees a writer that is stuck.
    pipe.close(pipe.read_fd)
    pipe.close(pipe.write_fd)


def run_python(code: str, redirection: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    shell = f'exec "$0" -c "$1" {redirection}'
    return subprocess.run(
        ["sh", "-c", shell, sys.executable, code],
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
        env=os.environ | environment,
    )


def test_each_line_is_there_at_once(pipe: Pipe, failures: Failures) -> None:
    sink = StdoutSink(fd=pipe.write_fd)
    sink.open(failures)
    for seq in range(3):
        sink.publish(message(status(seq)))
        assert pipe.reader.read_lines(1) == [message(status(seq)).line[:-1]]
    sink.close(TIMEOUT_S)


def test_text_format_leaves_out_what_it_does_not_show(pipe: Pipe, failures: Failures) -> None:
    sink = StdoutSink(text_format="label", fd=pipe.write_fd)
    sink.open(failures)
    for record in (status(0), start(1), end(2), start(3, "e2", "kettle")):
        sink.publish(message(record))
    sink.close(TIMEOUT_S)
    assert pipe.reader.read_lines(2) == [b"door", b"kettle"]


def test_E18_closed_pipe_is_reported_once_as_such(pipe: Pipe, failures: Failures) -> None:
    sink = StdoutSink(fd=pipe.write_fd)
    sink.open(failures)
    pipe.close(pipe.read_fd)
    for seq in range(100):
        sink.publish(message(status(seq)))
    error = failures.wait()
    assert isinstance(error, PipeClosedError)
    assert error.exit_code == 74
    sink.close(TIMEOUT_S)
    assert failures.is_empty


def test_E19_full_disk_is_reported_once(failures: Failures) -> None:
    with Path("/dev/full").open("wb") as full:
        sink = StdoutSink(fd=full.fileno())
        sink.open(failures)
        for seq in range(100):
            sink.publish(message(status(seq)))
        error = failures.wait()
        sink.close(TIMEOUT_S)
    assert type(error) is OutputError
    assert "No space left" in str(error)
    assert "\n" not in str(error)
    assert failures.is_empty


def test_E19_beside_other_sinks_a_full_disk_is_waited_for_and_the_line_that_it_cut_is_finished(
    tmp_path: Path, failures: Failures, log: LogLines
) -> None:
    path = tmp_path / "out"
    with path.open("wb") as file:
        sink = StdoutSink(fd=file.fileno(), max_records=16, is_alone=False, retry_s=0.01)
        sink.open(failures)
        with full_disk(1000):
            for seq in range(500):
                sink.publish(message(status(seq)))
            log.wait_for("sink.failed", "stdout")
            assert path.stat().st_size == 1000
        log.wait_for("sink.recovered")
        sink.close(TIMEOUT_S)
    assert account(map(decode_json, path.read_bytes().splitlines())) == 500
    assert failures.is_empty


def test_E20_stuck_reader_blocks_nothing_and_is_told_what_it_missed(pipe: Pipe, failures: Failures) -> None:
    n_bytes = pipe.fill()
    sink = StdoutSink(fd=pipe.write_fd, max_records=16)
    sink.open(failures)
    for seq in range(5000):
        sink.publish(message(status(seq)))
    while n_bytes > 0:
        n_bytes -= len(os.read(pipe.read_fd, n_bytes))
    records = pipe.reader.read_until(4999)
    assert account(records) == 5000
    # What was in the pipe's call, the loss, and what was in the queue: as many at most, twice.
    assert 17 <= len(records) <= 2 * 16 + 2
    sink.close(TIMEOUT_S)


def test_E20_close_waits_no_longer_than_told(pipe: Pipe, failures: Failures, log: LogLines) -> None:
    pipe.fill()
    sink = StdoutSink(fd=pipe.write_fd, max_records=16)
    sink.open(failures)
    for seq in range(5000):
        sink.publish(message(status(seq)))
    sink.close(0.01)
    counts = dict(word.split("=") for word in log.wait_for("sink.closed").split()[1:])
    assert 16 <= int(counts["left"]) <= 32
    assert int(counts["sent"]) + int(counts["dropped"]) + int(counts["left"]) == 5000


def test_source_that_can_wait_loses_nothing(pipe: Pipe, failures: Failures) -> None:
    sink = StdoutSink(fd=pipe.write_fd, max_records=16, is_live=False)
    sink.open(failures)

    def publish_all() -> None:
        for seq in range(5000):
            sink.publish(message(status(seq)))

    publisher = threading.Thread(target=publish_all)
    publisher.start()
    assert [record.seq for record in pipe.reader.read(5000)] == list(range(5000))
    publisher.join(TIMEOUT_S)
    sink.close(TIMEOUT_S)


@pytest.mark.parametrize("is_hurried", [False, True])
def test_drain_waits_for_the_reader_until_it_is_told_to_hurry(pipe: Pipe, failures: Failures, is_hurried: bool) -> None:
    n_bytes = pipe.fill()
    sink = StdoutSink(fd=pipe.write_fd, is_live=False)
    sink.open(failures)
    sink.publish(message(status(0)))
    drainer = threading.Thread(target=sink.drain, daemon=True)
    drainer.start()
    drainer.join(0.02)
    assert drainer.is_alive()
    if is_hurried:
        sink.hurry()
    else:
        while n_bytes > 0:
            n_bytes -= len(os.read(pipe.read_fd, n_bytes))
    drainer.join(TIMEOUT_S)
    assert not drainer.is_alive()


def test_drain_of_a_live_source_does_not_wait(pipe: Pipe, failures: Failures) -> None:
    pipe.fill()
    sink = StdoutSink(fd=pipe.write_fd)
    sink.open(failures)
    sink.publish(message(status(0)))
    sink.drain()


@pytest.mark.parametrize("end_it", ["close", "hurry", "break the pipe"])
def test_source_that_waits_is_let_go(pipe: Pipe, failures: Failures, end_it: str) -> None:
    pipe.fill()
    sink = StdoutSink(fd=pipe.write_fd, max_records=1, is_live=False)
    sink.open(failures)
    is_at_last = threading.Event()

    def publish_three() -> None:
        # One is stuck in the pipe, one waits in the queue, the last one waits for room.
        sink.publish(message(status(0)))
        sink.publish(message(status(1)))
        is_at_last.set()
        sink.publish(message(status(2)))

    publisher = threading.Thread(target=publish_three, daemon=True)
    publisher.start()
    assert is_at_last.wait(TIMEOUT_S)
    if end_it == "close":
        sink.close(0.0)
    elif end_it == "hurry":
        sink.hurry()
    else:
        pipe.close(pipe.read_fd)
    publisher.join(TIMEOUT_S)
    assert not publisher.is_alive()


def test_E21_stdout_closed_at_start_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from streamgmm.errors import StreamgmmError\n"
        "from streamgmm.sinks.stdout import StdoutSink\n"
        f"other = Path({str(tmp_path / 'other')!r}).open('w')\n"
        "assert other.fileno() == 1\n"
        "try:\n"
        "    StdoutSink().open(print)\n"
        "except StreamgmmError as error:\n"
        "    print(error, file=sys.stderr)\n"
        "    sys.exit(error.exit_code)\n"
    )
    run = run_python(code, ">&-")
    assert run.returncode == 78, run.stderr
    assert run.stderr.count(b"\n") == 1
    assert b"stdout is closed" in run.stderr
    assert (tmp_path / "other").read_bytes() == b""


def test_E21_descriptor_that_is_not_open_is_refused(pipe: Pipe, failures: Failures) -> None:
    pipe.close(pipe.write_fd)
    with pytest.raises(ConfigError):
        StdoutSink(fd=pipe.write_fd).open(failures)


@pytest.mark.parametrize("text_format", ["jsonl", "label"])
def test_E26_utf8_whatever_the_locale(text_format: str) -> None:
    code = (
        "from streamgmm.records import Start, encode_json\n"
        "from streamgmm.sinks.sink import Message\n"
        "from streamgmm.sinks.stdout import StdoutSink\n"
        f"sink = StdoutSink(text_format={text_format!r})\n"
        "sink.open(print)\n"
        "record = Start(t=0.0, id='e', label='T\\u00fcr', score=1.0, llr=1.0, threshold=0.5, start_t=0.0)\n"
        "sink.publish(Message(record, encode_json(record)))\n"
        "sink.close(5.0)\n"
    )
    run = run_python(code, "", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii")
    assert run.stderr == b""
    assert "Tür" in run.stdout.decode("utf-8")


def test_pipe_that_somebody_made_non_blocking(pipe: Pipe, failures: Failures) -> None:
    os.set_blocking(pipe.write_fd, False)
    sink = StdoutSink(fd=pipe.write_fd, max_records=5000)
    sink.open(failures)
    for seq in range(1500):
        sink.publish(message(status(seq)))
    assert account(pipe.reader.read(1500)) == 1500
    sink.close(TIMEOUT_S)


def test_lines_that_wait_are_written_together(pipe: Pipe, failures: Failures, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []

    def write(fd: int, data: bytearray, write: Callable[[int, bytearray], int] = os.write) -> int:
        written.append(len(data))
        return write(fd, data)

    n_bytes = pipe.fill()
    monkeypatch.setattr("streamgmm.sinks.stdout.os.write", write)
    sink = StdoutSink(fd=pipe.write_fd, max_records=1000)
    sink.open(failures)
    for seq in range(100):
        sink.publish(message(status(seq)))
    while n_bytes > 0:
        n_bytes -= len(os.read(pipe.read_fd, n_bytes))
    assert account(pipe.reader.read_until(99)) == 100
    assert max(written) <= select.PIPE_BUF
    assert len(written) <= 50
    sink.close(TIMEOUT_S)
