"""Write log lines from a dedicated thread, so that a stalled reader of stderr blocks nothing else."""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from streamgmm.sinks.sink import start_thread

MAX_LINES = 1000
"""Most log lines queued while stderr accepts none; further lines are lost and counted."""

FLUSH_S = 0.3
"""Longest wait at the end of a run for the last lines to be written (s)."""


class DetachedHandler(logging.handlers.QueueHandler):
    """Queue log lines for a thread that writes them to a descriptor; logging never blocks and never raises.

    Args:
        formatter: formats the lines.
        fd: descriptor to write to. Written directly, as a thread that is stuck within `sys.stderr` would hold its
            lock and make the interpreter abort at exit.

    Attributes:
        n_lost: number of lines lost since this was last logged, because the queue was full.
    """

    def __init__(self, formatter: logging.Formatter | None, fd: int) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue(MAX_LINES)
        super().__init__(self._lines)
        self.setFormatter(formatter)
        self.n_lost = 0
        self._fd = fd
        self._thread = start_thread(self._write_all, "log")

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the line of `record`, or drop it if the queue is full."""
        try:
            if self.n_lost:
                lost = {"msg": "log.lost lines=%d", "args": (self.n_lost,), "levelno": logging.WARNING}
                self._lines.put_nowait(self.format(logging.makeLogRecord(lost)))
                self.n_lost = 0
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self.n_lost += 1

    def finish(self, timeout_s: float) -> None:
        """Write queued lines; wait at most `timeout_s` seconds for room in the queue, and as long for the thread."""
        with suppress(queue.Full):
            self._lines.put(None, timeout=timeout_s)
            self._thread.join(timeout_s)

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            # The reader may be gone for good, or another one may open the same pipe later: keep trying.
            with suppress(OSError):
                # File names may contain lone surrogates, which UTF-8 cannot encode.
                unwritten = f"{line}\n".encode("utf-8", "backslashreplace")
                while unwritten:
                    unwritten = unwritten[os.write(self._fd, unwritten) :]


@contextmanager
def detached_log(limit: logging.Filter) -> Iterator[None]:
    """Route log lines for stderr through `limit` and a `DetachedHandler` within this context."""
    root = logging.getLogger()
    before = list(root.handlers)
    detached: list[DetachedHandler] = []
    for i_handler, handler in enumerate(before):
        # A caller may have replaced `sys.stderr` by a wrapper around the same descriptor.
        is_stderr = isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stderr, sys.__stderr__)
        if is_stderr and sys.__stderr__ is not None:
            detached.append(DetachedHandler(handler.formatter, sys.__stderr__.fileno()))
            root.handlers[i_handler] = detached[-1]
    limited = list(root.handlers)
    for handler in limited:
        # On handlers, because a logger's own filter does not see records of its child loggers.
        handler.addFilter(limit)
    try:
        yield
    finally:
        for handler in limited:
            handler.removeFilter(limit)
        # First, so that lines that are logged from now on do not enter a queue that is being closed.
        root.handlers[:] = before
        for handler in detached:
            handler.finish(FLUSH_S)
