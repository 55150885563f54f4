"""Lines to one output, from a thread of its own: what stdout and files have in common."""

from __future__ import annotations

import logging
import threading

from streamgmm.config import TextFormat
from streamgmm.errors import StreamgmmError
from streamgmm.sinks.formats import make_formatter
from streamgmm.sinks.queue import RecordQueue
from streamgmm.sinks.selection import Selection
from streamgmm.sinks.sink import Message, OnFailure, Snapshot, start_thread

logger = logging.getLogger("streamgmm.sinks")

RETRY_S = 10.0
"""An output that takes nothing is tried again this often (seconds)."""


class LineSink:
    """A queue of lines and the thread that writes them, each as soon as it is there; base of the sinks that do so.

    While an output takes nothing but may do so again (a full disk), records wait and then give way, the
    oldest first, and once it takes lines again a `dropped` record tells how many.

    Args:
        name: its URI as configured.
        text_format: what a line looks like.
        max_records: records kept for a slow output.
        is_live: True if the sound goes on whether or not anybody reads: a slow output then loses its
            oldest records. Otherwise `publish` waits for room, `drain` for the end, and nothing is lost
            before `hurry`.
        retry_s: from one attempt to the next while the output takes nothing (seconds).
        selection: the records that it gets; None: all.
    """

    snapshot: Snapshot | None = None
    n_clients = 0

    def __init__(
        self,
        name: str,
        *,
        text_format: TextFormat,
        max_records: int,
        is_live: bool,
        retry_s: float = RETRY_S,
        selection: Selection | None = None,
    ) -> None:
        self.name = name
        self._selection = selection or Selection()
        self._is_live = is_live
        self._retry_s = retry_s
        self._unwritten = memoryview(b"")
        self._is_suspended = False
        self._is_retry_wanted = False
        self._is_json = text_format == "jsonl"
        self._format = make_formatter(text_format)
        self._is_patient = not is_live
        self._queue = RecordQueue(max_records, announce=self._selection.announced_with(self._format))
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
        """Queue the line of a record that is selected and that the format shows; see `is_live` for a full queue."""
        if not self._selection.admits(message.record):
            return
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

    def _write(self) -> None:
        """Write what `_unwritten` holds, and take out of it what is written.

        Raises:
            OSError, StreamgmmError: the output does not take it.
        """
        raise NotImplementedError

    def _may_heal(self, error: OSError | StreamgmmError) -> bool:
        """Whether the output may take lines again after that, so that waiting for it makes sense."""
        raise NotImplementedError

    def _release(self) -> None:
        """Let go of the output; after the last write."""

    def _failure(self, error: OSError) -> StreamgmmError:
        """What to tell of an error that ends the sink."""
        raise NotImplementedError

    def _run(self) -> None:
        try:
            while (line := self._next_line()) is not None and self._deliver(line):
                self._n_written = self._queue.n_popped
        except (OSError, StreamgmmError) as error:
            self._stop_taking()
            self._on_failure(self._failure(error) if isinstance(error, OSError) else error)
        finally:
            self._release()

    def _deliver(self, line: bytes) -> bool:
        """Write a whole line, with as many attempts as it takes; False if the sink was closed before that."""
        self._unwritten = memoryview(line)
        while True:
            # Asked before the attempt: the last one is made after the wish to close.
            is_last = self._is_closing
            try:
                self._write()
            except (OSError, StreamgmmError) as error:
                if not self._may_heal(error):
                    raise
                self._suspend(error)
            else:
                self._resume()
                return True
            if is_last:
                return False
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or self._is_retry_wanted, self._retry_s)
                self._is_retry_wanted = False

    def _suspend(self, error: OSError | StreamgmmError) -> None:
        if not self._is_suspended:
            reason = self._failure(error) if isinstance(error, OSError) else error
            logger.error("sink.failed sink=%s reason=%s; trying again every %g s", self.name, reason, self._retry_s)
        self._is_suspended = True

    def _resume(self) -> None:
        if self._is_suspended:
            logger.warning("sink.recovered sink=%s dropped=%d", self.name, self._queue.n_dropped)
        self._is_suspended = False

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
