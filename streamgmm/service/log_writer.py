"""Log lines written from a thread of their own, so that a reader of stderr that stops reading stops nothing else."""

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
"""Log lines kept while nobody takes them; more are lost, and counted."""

FLUSH_S = 0.3
"""How long the end of a run waits for its last lines to be taken."""


class DetachedHandler(logging.handlers.QueueHandler):
    """Queues lines, and a thread writes them to a descriptor; nobody who logs ever waits, or hears of a failure.

    Args:
        formatter: makes the lines.
        fd: where they go; written to directly, as a thread that is stuck within `sys.stderr` would keep its
            lock and make the interpreter abort at its end.

    Attributes:
        n_lost: lines lost so far because nobody took them.
    """

    def __init__(self, formatter: logging.Formatter | None, fd: int) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue(MAX_LINES)
        super().__init__(self._lines)
        self.setFormatter(formatter)
        self.n_lost = 0
        self._fd = fd
        self._thread = start_thread(self._write_all, "log")

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the line of `record`, or lose it."""
        try:
            if self.n_lost:
                self._lines.put_nowait(f"streamgmm: log.lost lines={self.n_lost}")
                self.n_lost = 0
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self.n_lost += 1

    def finish(self, timeout_s: float) -> None:
        """Write what waits, for at most `timeout_s` seconds."""
        with suppress(queue.Full):
            self._lines.put(None, timeout=timeout_s)
            self._thread.join(timeout_s)

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            # The reader may have gone for good, or come back as another one.
            with suppress(OSError):
                unwritten = f"{line}\n".encode("utf-8", "backslashreplace")
                while unwritten:
                    unwritten = unwritten[os.write(self._fd, unwritten) :]


@contextmanager
def detached_log(limit: logging.Filter) -> Iterator[None]:
    """Within it, what would go to the stderr of the process goes through `limit` and a `DetachedHandler`."""
    root = logging.getLogger()
    before = list(root.handlers)
    detached: list[DetachedHandler] = []
    for i_handler, handler in enumerate(before):
        # The command may have wrapped its stderr; what is written goes to the same descriptor.
        is_stderr = isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stderr, sys.__stderr__)
        if is_stderr and sys.__stderr__ is not None:
            detached.append(DetachedHandler(handler.formatter, sys.__stderr__.fileno()))
            root.handlers[i_handler] = detached[-1]
    limited = list(root.handlers)
    for handler in limited:
        # Where lines are written, for a logger's own filter does not see those of the loggers below it.
        handler.addFilter(limit)
    try:
        yield
    finally:
        for handler in limited:
            handler.removeFilter(limit)
        root.handlers[:] = before
        for handler in detached:
            handler.finish(FLUSH_S)
