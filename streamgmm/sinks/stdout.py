"""Records to standard output, from a thread of its own: a reader that stops reading stops nothing else."""

from __future__ import annotations

import errno
import logging
import os
import select
import sys
import threading

from streamgmm.config import TextFormat
from streamgmm.errors import ConfigError, OutputError, StreamgmmError
from streamgmm.sinks.formats import make_formatter
from streamgmm.sinks.queue import RecordQueue
from streamgmm.sinks.sink import Message, OnFailure, PipeClosedError, start_thread

logger = logging.getLogger("streamgmm.sinks")

STDOUT_FD = 1


class StdoutSink:
    """Lines to a file descriptor, each written as soon as it is there.

    Args:
        text_format: what a line looks like.
        max_records: records kept for a slow reader.
        is_live: True if the sound goes on whether or not anybody reads: a slow reader then loses its
            oldest records. Otherwise `publish` waits for room, `drain` for the end, and nothing is lost
            before `hurry`.
        fd: the descriptor to write to; it stays open.
    """

    name = "stdout:"

    def __init__(
        self,
        *,
        text_format: TextFormat = "jsonl",
        max_records: int = 1024,
        is_live: bool = True,
        fd: int = STDOUT_FD,
    ) -> None:
        self._is_json = text_format == "jsonl"
        self._format = make_formatter(text_format)
        self._is_patient = not is_live
        self._fd = fd
        self._queue = RecordQueue(max_records, announce=self._format)
        self._changed = threading.Condition()
        self._is_closing = False
        self._is_writing = False
        self._thread: threading.Thread | None = None

    def open(self, on_failure: OnFailure) -> None:
        """Start the writer.

        Raises:
            ConfigError: standard output was closed when the program started.
            SystemResourceError: the system refused a thread.
        """
        if not _is_open(self._fd):
            raise ConfigError(["output.sinks: stdout is closed; redirect it, or choose another sink"])
        self._on_failure = on_failure
        self._thread = start_thread(self._run, "stdout")

    def publish(self, message: Message) -> None:
        """Queue the line of a record that the format shows; see `is_live` for a full queue."""
        line = message.line if self._is_json else self._format(message.record)
        if line is None:
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._is_patient or self._is_closing or not self._queue.is_full)
            if not self._is_closing:
                self._queue.push(message.record, line)
                self._changed.notify_all()

    def drain(self) -> None:
        """Wait until the reader has taken every line; returns at once if the source is live, or after `hurry`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_patient or self._is_closing or self._is_idle())

    def hurry(self) -> None:
        """From now on lose the oldest records of a slow reader instead of waiting for it."""
        with self._changed:
            self._is_patient = False
            self._changed.notify_all()

    def close(self, timeout_s: float) -> None:
        """Write what waits, for at most `timeout_s` seconds."""
        with self._changed:
            was_open, self._is_closing = not self._is_closing, True
            self._changed.notify_all()
        if self._thread is None or not was_open:
            return
        # A writer that is stuck in a full pipe cannot be woken; as a daemon thread it ends with the process.
        self._thread.join(timeout_s)
        queue = self._queue
        logger.info("sink.closed sink=stdout sent=%d dropped=%d left=%d", queue.n_popped, queue.n_dropped, len(queue))

    def _run(self) -> None:
        try:
            while (line := self._next_line()) is not None:
                _write_all(self._fd, line)
        except OSError as error:
            self._stop_taking()
            self._on_failure(_failure(error))

    def _next_line(self) -> bytes | None:
        with self._changed:
            self._is_writing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_closing or self._queue.is_waiting)
            if not self._queue.is_waiting:
                return None
            self._is_writing = True
            line = self._queue.pop()
            self._changed.notify_all()
            # A hole that the format cannot show is nothing to write, and not the end.
            return line or b""

    def _is_idle(self) -> bool:
        return not self._queue.is_waiting and not self._is_writing

    def _stop_taking(self) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()


def _is_open(fd: int) -> bool:
    # With `>&-` Python starts without sys.stdout, and the next file or socket to be opened may get
    # descriptor 1: labels written there would end up inside it.
    if fd == STDOUT_FD and sys.__stdout__ is None:
        return False
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _write_all(fd: int, line: bytes) -> None:
    unwritten = memoryview(line)
    while unwritten:
        try:
            unwritten = unwritten[os.write(fd, unwritten) :]
        except BlockingIOError:
            # Whoever shares this pipe made it non-blocking.
            select.select([], [fd], [])


def _failure(error: OSError) -> StreamgmmError:
    reason = os.strerror(error.errno or 0)
    if error.errno == errno.EPIPE:
        return PipeClosedError("nobody reads it any more", where="stdout")
    hint = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return OutputError(f"cannot write: {reason}", where="stdout", hint=hint)
