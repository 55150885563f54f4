"""Lines to one output, from a thread of its own: what stdout and files have in common."""

from __future__ import annotations

import logging
import threading

from streamgmm.config import TextFormat
from streamgmm.errors import StreamgmmError
from streamgmm.sinks.formats import make_formatter
from streamgmm.sinks.queue import RecordQueue
from streamgmm.sinks.sink import Message, OnFailure, start_thread

logger = logging.getLogger("streamgmm.sinks")


class LineSink:
    """A queue of lines and the thread that writes them, each as soon as it is there; base of the sinks that do so.

    Args:
        name: its URI as configured.
        text_format: what a line looks like.
        max_records: records kept for a slow output.
        is_live: True if the sound goes on whether or not anybody reads: a slow output then loses its
            oldest records. Otherwise `publish` waits for room, `drain` for the end, and nothing is lost
            before `hurry`.
    """

    def __init__(self, name: str, *, text_format: TextFormat, max_records: int, is_live: bool) -> None:
        self.name = name
        self._is_json = text_format == "jsonl"
        self._format = make_formatter(text_format)
        self._is_patient = not is_live
        self._queue = RecordQueue(max_records, announce=self._format)
        self._n_written = 0
        self._changed = threading.Condition()
        self._is_closing = False
        self._is_writing = False
        self._thread: threading.Thread | None = None

    def open(self, on_failure: OnFailure) -> None:
        """Claim the output, and start the writer.

        Raises:
            StreamgmmError: the output cannot be had, or the system refused a thread.
        """
        self._claim()
        self._on_failure = on_failure
        try:
            self._thread = start_thread(self._run, self.name)
        except StreamgmmError:
            self._release()
            raise

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
        """Wait until every line is written; returns at once if the source is live, or after `hurry`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_patient or self._is_closing or self._is_idle())

    def hurry(self) -> None:
        """From now on lose the oldest records of a slow output instead of waiting for it."""
        with self._changed:
            self._is_patient = False
            self._changed.notify_all()

    def reopen(self) -> None:
        """Nothing to do, where there is no file that could have been moved away."""

    def close(self, timeout_s: float) -> None:
        """Write what waits, for at most `timeout_s` seconds."""
        with self._changed:
            was_open, self._is_closing = not self._is_closing, True
            self._changed.notify_all()
        if self._thread is None or not was_open:
            return
        # A writer that is stuck in a full pipe cannot be woken; as a daemon thread it ends with the process.
        self._thread.join(timeout_s)
        queue, n_written = self._queue, self._n_written
        n_left = queue.n_pushed - queue.n_dropped - n_written
        logger.info("sink.closed sink=%s sent=%d dropped=%d left=%d", self.name, n_written, queue.n_dropped, n_left)

    def _claim(self) -> None:
        """Make sure of the output.

        Raises:
            StreamgmmError: it cannot be had.
        """
        raise NotImplementedError

    def _write(self, line: bytes) -> bool:
        """Write a whole line; False if the sink was closed before that could be done.

        Raises:
            OSError, StreamgmmError: it cannot be done, now or later.
        """
        raise NotImplementedError

    def _release(self) -> None:
        """Let go of the output; after the last write."""

    def _failure(self, error: OSError) -> StreamgmmError:
        """What to tell of an error that ends the sink."""
        raise NotImplementedError

    def _run(self) -> None:
        try:
            while (line := self._next_line()) is not None and self._write(line):
                self._n_written = self._queue.n_popped
        except (OSError, StreamgmmError) as error:
            self._stop_taking()
            self._on_failure(self._failure(error) if isinstance(error, OSError) else error)
        finally:
            self._release()

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
