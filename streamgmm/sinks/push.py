"""Base of the sinks for stdout, files and commands: a queue of records, and a thread that delivers them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypedDict, Unpack

from streamgmm.errors import StreamgmmError
from streamgmm.settings.output import TextFormat
from streamgmm.sinks.control import Obey
from streamgmm.sinks.formats import make_formatter
from streamgmm.sinks.queue import RecordQueue
from streamgmm.sinks.selection import Selection
from streamgmm.sinks.sink import Message, OnFailure, Snapshot, report_bug, start_thread

logger = logging.getLogger("streamgmm.sinks")

RETRY_S = 10.0
"""Interval between attempts while an output accepts nothing (s)."""

REMOTE_PATIENCE_S = 10.0
"""Longest time for which a recording waits for another machine that takes nothing (s); it may never come."""


class PushOptions(TypedDict, total=False):
    """Options of every `PushSink`.

    Attributes:
        text_format: format of a line; default jsonl.
        max_records: most records queued for a slow output; default 1024.
        is_live: whether the source continues without waiting for readers, the default: a slow output then loses its
            oldest records. Otherwise `publish` waits for room, `drain` waits until all lines are delivered, and nothing
            is lost before `hurry`, or before the output has taken nothing for `patience_s`.
        retry_s: interval between attempts while the output accepts nothing (s); default `RETRY_S`.
        selection: the records that the sink receives; default all.
    """

    text_format: TextFormat
    max_records: int
    is_live: bool
    retry_s: float
    selection: Selection


class PushSink:
    """A queue of lines, and a thread that delivers each line as soon as possible.

    A subclass implements `claim` and `release` of the output, `deliver` of a line, and `may_heal` and `failure_of` of
    an error. While an output accepts nothing but may recover (e.g. a full disk), records wait. When the queue is full,
    the oldest are dropped, and a `dropped` record reports their number once the output accepts lines again.

    Args:
        name: URI of the sink as configured.
        options: see `PushOptions`.
    """

    snapshot: Snapshot | None = None
    obey: Obey | None = None
    n_clients = 0
    patience_s: float | None = None
    """Longest time for which a recording waits while the output takes nothing (s); None for no limit."""

    n_failed = 0
    """Number of lines that were delivered and came to nothing: a server refused them, or their command failed."""

    max_bytes_at_once = 0
    """Lines that wait are delivered together up to this length (bytes); longer ones, and all for 0, one by one."""

    def __init__(self, name: str, **options: Unpack[PushOptions]) -> None:
        self.name = name
        text_format = options.get("text_format", "jsonl")
        self._selection = options.get("selection") or Selection()
        self._is_live = options.get("is_live", True)
        self._retry_s = options.get("retry_s", RETRY_S)
        self._is_json = text_format == "jsonl"
        self._format = make_formatter(text_format)
        announce = self._selection.announced_with(self._format)
        self._queue = RecordQueue(options.get("max_records", 1024), announce=announce)
        self._n_delivered = 0
        # Protects the queue and the flags below; every change of one of them notifies all waiting threads.
        self._changed = threading.Condition()
        self._is_patient = not self._is_live
        self._is_suspended = False
        self._is_retry_wanted = False
        self._is_closing = False
        self._is_delivering = False
        self._thread: threading.Thread | None = None

    def open(self, on_failure: OnFailure) -> None:
        """Claim the output, and start the thread.

        Raises:
            StreamgmmError: the output cannot be opened, or the system refused a thread.
        """
        self.claim()
        self._on_failure = on_failure
        try:
            self._thread = start_thread(self._run, self.name)
        except StreamgmmError:
            self.release()
            raise

    def publish(self, message: Message) -> None:
        """Queue the line of a record that is selected and that the format shows; for a full queue see `is_live`."""
        # Neither the selection nor the order of the lines needs the lock: the hub publishes one record at a time.
        if not self._selection.admits(message.record):
            return
        # JSON is encoded once for all sinks, every other format by the sink that needs it.
        line = message.line if self._is_json else self._format(message.record)
        if line is None:
            return
        with self._changed:
            self.note(message)
            self._wait_until(lambda: self._queue.has_room_for(line))
            if not self._is_closing:
                self._queue.push(message.record, line)
                self._changed.notify_all()

    def drain(self) -> None:
        """Wait until every line is delivered; return at once if the source is live, or after `hurry`."""
        with self._changed:
            self._wait_until(self._is_idle)

    def hurry(self) -> None:
        """Drop the oldest records of a slow output from now on, instead of waiting for it."""
        with self._changed:
            self._is_patient = False
            self._changed.notify_all()

    def reopen(self) -> None:
        """Do nothing: only a sink with a file can be rotated."""

    def close(self, timeout_s: float) -> None:
        """Deliver queued lines, for at most `timeout_s` seconds."""
        with self._changed:
            # Only the first call waits for the thread.
            was_open, self._is_closing = not self._is_closing, True
            self._changed.notify_all()
        if self._thread is None or not was_open:
            return
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self.abandon()
        queue, n_delivered, n_failed = self._queue, self._n_delivered, self.n_failed
        n_left = queue.n_pushed - queue.n_dropped - n_delivered
        counts = (n_delivered - n_failed, n_failed, queue.n_dropped, n_left)
        logger.info("sink.closed sink=%s sent=%d failed=%d dropped=%d left=%d", self.name, *counts)

    def claim(self) -> None:
        """Open or check the output.

        Raises:
            StreamgmmError: the output cannot be opened.
        """

    def deliver(self, undelivered: bytearray) -> None:
        """Deliver a line, and delete the delivered part from `undelivered`; called again with the rest after an error.

        A rest that is left without an error is never delivered: the sink was abandoned.

        Raises:
            OSError, StreamgmmError: the output does not accept the line.
        """
        raise NotImplementedError

    def may_heal(self, error: OSError | StreamgmmError) -> bool:
        """Return whether the output may recover from `error`, so that it is worth retrying."""
        raise NotImplementedError

    def failure_of(self, error: OSError) -> StreamgmmError:
        """Return the error to report for `error`."""
        raise NotImplementedError

    def note(self, message: Message) -> None:
        """Take notice of a selected record before it is queued; called while `_changed` is held."""

    @property
    def is_errand_due(self) -> bool:
        """Return whether to call `deliver` without a line; called while `_changed` is held, and while not closing."""
        return False

    @property
    def is_busy(self) -> bool:
        """Return whether something delivered is still in progress, e.g. a command; called while `_changed` is held."""
        return False

    def abandon(self) -> None:
        """Abandon deliveries in progress, after `close` has waited long enough.

        A thread that is blocked in a full pipe cannot be woken; as a daemon thread it ends with the process.
        """

    def release(self) -> None:
        """Close the output; called by the thread after the last delivery."""

    def _run(self) -> None:
        try:
            while (lines := self._next_lines()) is not None and self._deliver(lines):
                # Not counted here, because a line may be a `dropped` record, which `n_popped` leaves out.
                self._n_delivered = self._queue.n_popped
        except Exception as error:
            # Before the report, so that no publisher waits for room in a queue that is not emptied any more.
            self._stop_taking()
            self._on_failure(self._reported(error))
        finally:
            self.release()

    def _deliver(self, lines: bytes) -> bool:
        """Deliver whole lines, with as many attempts as needed; return False if the sink was closed before that."""
        undelivered = bytearray(lines)
        while True:
            # Read before the attempt, so that one attempt is still made after `close` was called.
            is_last = self._is_closing
            try:
                self.deliver(undelivered)
            except (OSError, StreamgmmError) as error:
                if not self.may_heal(error):
                    raise
                self._suspend(error)
            else:
                self._resume()
                return not undelivered
            if is_last:
                return False
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or self._is_retry_wanted, self._retry_s)
                self._is_retry_wanted = False

    def _reported(self, error: Exception) -> StreamgmmError:
        """Return the error to report for one that ends the sink."""
        if isinstance(error, StreamgmmError):
            return error
        return self.failure_of(error) if isinstance(error, OSError) else report_bug(error, self.name)

    def _suspend(self, error: OSError | StreamgmmError) -> None:
        # Logged once, not at each attempt.
        if not self._is_suspended:
            reason = self.failure_of(error) if isinstance(error, OSError) else error
            logger.error("sink.failed sink=%s reason=%s; trying again every %g s", self.name, reason, self._retry_s)
        self._is_suspended = True

    def _resume(self) -> None:
        if self._is_suspended:
            logger.warning("sink.recovered sink=%s dropped=%d", self.name, self._queue.n_dropped)
        self._is_suspended = False

    def _next_lines(self) -> bytes | None:
        with self._changed:
            self._is_delivering = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_closing or self._queue.is_waiting or self.is_errand_due)
            if not self._queue.is_waiting and self._is_closing:
                return None
            self._is_delivering = True
            # An errand, or a loss that the format does not show, gives an empty line to deliver.
            lines = self._queue.pop() or b""
            while 0 < self._queue.next_bytes <= self.max_bytes_at_once - len(lines):
                lines += self._queue.pop() or b""
            self._changed.notify_all()
            return lines

    def _wait_until(self, is_true: Callable[[], bool]) -> None:
        """Wait for the output, if it is waited for; call while `_changed` is held."""

        def is_over() -> bool:
            return not self._is_patient or self._is_closing or is_true()

        n_delivered = self._n_delivered
        while not self._changed.wait_for(is_over, self.patience_s):
            if self._n_delivered == n_delivered:
                logger.warning(
                    "sink.unanswered sink=%s: took nothing for %g s, and is waited for no longer",
                    self.name,
                    self.patience_s,
                )
                self._is_patient = False
            n_delivered = self._n_delivered

    def _is_idle(self) -> bool:
        return not (self._queue.is_waiting or self._is_delivering or self.is_busy)

    def _stop_taking(self) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
