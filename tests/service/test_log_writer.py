from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from streamgmm.service.log_writer import MAX_LINES, DetachedHandler, detached_log

TIMEOUT_S = 10.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        with suppress(OSError):
            os.close(fd)


def log(handler: logging.Handler, text: str) -> None:
    handler.handle(logging.LogRecord("x", logging.INFO, "", 0, "%s", (text,), None))


def fill(fd: int) -> int:
    """Make the next write block; returns how many bytes stand before it."""
    os.set_blocking(fd, False)
    n_bytes = 0
    with suppress(BlockingIOError):
        while True:
            n_bytes += os.write(fd, b"x" * 4096)
    os.set_blocking(fd, True)
    return n_bytes


def read_all(fd: int) -> bytes:
    data = b""
    while received := os.read(fd, 65536):
        data += received
    return data


def test_lines_come_out_in_order_and_formatted(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    handler = DetachedHandler(logging.Formatter("streamgmm: %(message)s"), writer)
    for i_line in range(100):
        log(handler, f"Tür {i_line}")
    handler.finish(TIMEOUT_S)
    os.close(writer)
    assert read_all(reader).decode().splitlines() == [f"streamgmm: Tür {i_line}" for i_line in range(100)]


def test_F22_a_reader_that_stopped_holds_nobody_up_and_is_told_what_it_missed(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    n_bytes = fill(writer)
    handler = DetachedHandler(logging.Formatter("%(message)s"), writer)
    for i_line in range(3 * MAX_LINES):
        log(handler, f"line {i_line}")
    assert handler.n_lost > 0
    while n_bytes > 0:
        n_bytes -= len(os.read(reader, n_bytes))
    handler.finish(TIMEOUT_S)
    os.close(writer)
    lines = read_all(reader).decode().splitlines()
    told = [int(line.partition("=")[2]) for line in lines if "log.lost" in line]
    kept = [int(line.removeprefix("line ")) for line in lines if "log.lost" not in line]
    assert kept == sorted(kept)
    assert len(kept) + sum(told) + handler.n_lost == 3 * MAX_LINES


def test_F22_lost_lines_are_told_of(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    handler = DetachedHandler(logging.Formatter("%(message)s"), writer)
    handler.n_lost = 7
    log(handler, "the next one")
    handler.finish(TIMEOUT_S)
    os.close(writer)
    assert read_all(reader).decode().splitlines() == ["log.lost lines=7", "the next one"]


def test_F22_a_reader_that_left_is_no_error(pipe: tuple[int, int], capfd: pytest.CaptureFixture[str]) -> None:
    reader, writer = pipe
    os.close(reader)
    handler = DetachedHandler(None, writer)
    log(handler, "to nobody")
    handler.finish(TIMEOUT_S)
    assert capfd.readouterr().err == ""


def test_F22_the_end_does_not_wait_for_a_stuck_reader(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    fill(writer)
    handler = DetachedHandler(None, writer)
    for _ in range(MAX_LINES + 10):
        log(handler, "x")
    handler.finish(0.01)
    os.close(reader)  # lets the thread go


def test_only_the_stderr_of_the_process_is_detached_and_given_back() -> None:
    root = logging.getLogger()
    own, other = logging.StreamHandler(sys.__stderr__), logging.NullHandler()
    before = list(root.handlers)
    limit = logging.Filter()
    root.handlers[:] = [own, other]
    try:
        with detached_log(limit):
            assert isinstance(root.handlers[0], DetachedHandler)
            assert root.handlers[1] is other
            assert all(limit in handler.filters for handler in root.handlers)
        assert root.handlers == [own, other]
        assert not own.filters
        assert not other.filters
    finally:
        root.handlers[:] = before
