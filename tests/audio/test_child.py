"""Reading from a child process that may do anything."""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from streamgmm.audio import child as child_module
from streamgmm.audio.child import STDERR_TAIL_BYTES, Child
from streamgmm.errors import SystemResourceError

CLOSE_LIMIT_S = 0.1
SLEEP = "import time; time.sleep(60)"


def python(script: str) -> Child:
    return Child([sys.executable, "-S", "-c", "import os, sys, signal\n" + script])


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").glob("*")}


def test_lines_then_bytes_then_the_end() -> None:
    with closing(python(r"os.write(1, b'one\ntwo\nabcdef')")) as child:
        assert child.read_line(5) == b"one\n"
        assert child.read_line(5) == b"two\n"
        assert child.read_exactly(4, 5) == b"abcd"
        with pytest.raises(EOFError):
            child.read_exactly(4, 5)
        assert child.describe_end() == "exit status 0"


def test_A20_bytes_that_come_one_by_one() -> None:
    with closing(python("for i in range(100): os.write(1, bytes([i]))")) as child:
        assert b"".join(child.read_exactly(25, 5) or b"" for _ in range(4)) == bytes(range(100))


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "MAX_OUTPUT_LINE_BYTES", 10_000)
    with closing(python("while True: os.write(1, b'x' * 1000)")) as child, pytest.raises(EOFError):
        child.read_line(5)


def test_A6_nothing_in_time() -> None:
    with closing(python(SLEEP)) as child:
        with pytest.raises(TimeoutError):
            child.read_line(0.1)
        with pytest.raises(TimeoutError):
            child.read_exactly(1, 0.0)


def test_a_late_reader_still_gets_what_is_there() -> None:
    with closing(python("os.write(1, b'abc'); os.close(1)")) as child:
        child._process.wait()
        assert child.read_exactly(3, 0.0) == b"abc"


@pytest.mark.parametrize("number", ["SIGSEGV", "SIGKILL"])
def test_A25_the_signal_is_reported(number: str) -> None:
    with closing(python(f"os.kill(os.getpid(), signal.{number})")) as child:
        with pytest.raises(EOFError):
            child.read_exactly(1, 5)
        assert child.describe_end() == f"killed by {number}"


def test_last_words_are_reported_but_not_without_limit() -> None:
    with closing(python(r"os.write(2, b'early\n' + b'w' * 5000 + b'\n\n'); sys.exit(3)")) as child:
        with pytest.raises(EOFError):
            child.read_exactly(1, 5)
        assert child.describe_end() == "w" * 200


def test_A25_a_process_that_the_child_left_behind_does_not_delay_its_last_words() -> None:
    command = ["/bin/sh", "-c", "sleep 30 > /dev/null & exit 3"]
    with closing(child_module.Child(command)) as child:
        with pytest.raises(EOFError):
            child.read_exactly(1, 5)
        start_s = time.monotonic()
        assert child.describe_end() == "exit status 3"
        assert time.monotonic() - start_s < 5.0


def test_a_child_that_only_closes_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "EXIT_TIMEOUT_S", 0.05)
    with closing(python("os.close(1); " + SLEEP)) as child:
        with pytest.raises(EOFError):
            child.read_exactly(1, 5)
        assert child.describe_end() == "output closed"


def test_A26_stderr_flood_is_drained_and_bounded() -> None:
    script = (
        "flood = b'noise' * 200_000\nfor _ in range(100): os.write(2, flood)\nos.write(2, b'last'); os.write(1, b'x')"
    )
    with closing(python(script)) as child:
        assert child.read_exactly(1, 20) == b"x"
        with pytest.raises(EOFError):
            child.read_exactly(1, 5)
        child.describe_end()
        assert len(child.stderr_tail) == STDERR_TAIL_BYTES
        assert child.stderr_tail.endswith(b"noiselast")


def test_closed_stderr_does_not_keep_the_reader_busy() -> None:
    with closing(python("os.close(2); " + SLEEP)) as child:
        start_s = time.process_time()
        with pytest.raises(TimeoutError):
            child.read_exactly(1, 0.5)
        assert time.process_time() - start_s < 0.2


@pytest.mark.parametrize(
    "script", [SLEEP, "os.kill(os.getpid(), signal.SIGSTOP)", "signal.signal(15, signal.SIG_IGN); " + SLEEP]
)
def test_A4_close_is_quick_and_wakes_the_reader(script: str) -> None:
    child = python("os.write(1, b'ready');" + script)
    assert child.read_exactly(5, 5) == b"ready"
    with ThreadPoolExecutor(1) as reader:
        result = reader.submit(child.read_exactly, 1, 60)
        start_s = time.monotonic()
        child.close()
        assert time.monotonic() - start_s < CLOSE_LIMIT_S
        assert result.result(1) is None
    assert not is_alive(child.pid)


def test_close_from_many_threads_frees_every_descriptor_once() -> None:
    before = open_descriptors()
    child = python(SLEEP)
    threads = [threading.Thread(target=child.close) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert child.read_line(1) is None
    assert open_descriptors() == before


def test_a_command_that_does_not_exist() -> None:
    with pytest.raises(SystemResourceError, match="/no/such/program: cannot start a process: No such file"):
        Child(["/no/such/program"])


def test_what_is_written_arrives_and_the_end_of_input_too() -> None:
    with closing(python("os.write(1, sys.stdin.buffer.read()[-7:])")) as child:
        child.write(b"x" * 1_000_000)
        child.write(b"the end")
        child.end_input()
        assert child.read_exactly(7, 5) == b"the end"


def test_close_wakes_a_writer_whose_pipe_is_full() -> None:
    with closing(python(f"os.write(1, b'.')\n{SLEEP}")) as child, ThreadPoolExecutor(1) as threads:
        assert child.read_exactly(1, 5) == b"."
        written = threads.submit(child.write, b"x" * 10_000_000)
        before_s = time.monotonic()
        child.close()
        assert isinstance(written.exception(5), OSError)
        assert time.monotonic() - before_s < 1.0


def test_writing_to_a_closed_child_fails() -> None:
    child = python(SLEEP)
    child.close()
    with pytest.raises(BrokenPipeError):
        child.write(b"x")
