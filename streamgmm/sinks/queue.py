"""Bounded queue of one reader: the oldest records are dropped, and a `dropped` record reports their number."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from streamgmm.records import Dropped, Record, encode_json
from streamgmm.sinks.formats import Formatter

MAX_QUEUE_BYTES = 256 * 1024
"""Most bytes queued for one reader, however many records they are."""


class _QueuedLine(NamedTuple):
    record: Record
    line: bytes


class RecordQueue:
    """First in, first out; a push into a full queue drops the oldest records. Not thread-safe.

    As only the oldest records are dropped, the loss is always just before the oldest record that is left. The next
    `pop` reports all of it in one `dropped` record, which takes seq, time and t of the first lost record, so that a
    reader sees strictly increasing sequence numbers.

    Invariant: `n_pushed == n_popped + n_dropped + len(queue)`, where `dropped` records are not counted.

    Args:
        max_records: most records in the queue.
        max_bytes: most bytes in the queue; a single longer record is dropped itself.
        announce: formats the `dropped` record; if it returns None, the loss is not reported.
    """

    def __init__(
        self, max_records: int, max_bytes: int = MAX_QUEUE_BYTES, *, announce: Formatter = encode_json
    ) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._announce = announce
        self._entries: deque[_QueuedLine] = deque()
        self._n_bytes = 0
        self._first_lost: Record | None = None
        self._n_lost = 0
        self.n_pushed = 0
        self.n_popped = 0
        self.n_dropped = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_waiting(self) -> bool:
        """Return whether there is a record to deliver or a loss to report."""
        return bool(self._entries) or self._first_lost is not None

    def has_room_for(self, line: bytes) -> bool:
        """Return whether a push of `line` would drop no other record."""
        if not self._entries:
            return True
        return len(self._entries) < self._max_records and self._n_bytes + len(line) <= self._max_bytes

    @property
    def next_bytes(self) -> int:
        """Return the length of the oldest record's line; 0 if there is none, or a loss to report first."""
        return len(self._entries[0].line) if self._entries and self._first_lost is None else 0

    def push(self, record: Record, line: bytes) -> None:
        """Append `record`, formatted as `line`, and drop the oldest records until the limits hold."""
        self._entries.append(_QueuedLine(record, line))
        self._n_bytes += len(line)
        self.n_pushed += 1
        # May drop the new record too, if it alone exceeds the limit.
        while len(self._entries) > self._max_records or self._n_bytes > self._max_bytes:
            self._drop_oldest()

    def pop(self) -> bytes | None:
        """Return the next line: the `dropped` record after a loss, else the oldest record; None if there is none."""
        # A loss that is not announced is forgotten, and the next record follows at once.
        if self._first_lost is not None and (line := self._announce(self._close_hole(self._first_lost))):
            return line
        if not self._entries:
            return None
        line = self._entries.popleft().line
        self._n_bytes -= len(line)
        self.n_popped += 1
        return line

    def _drop_oldest(self) -> None:
        record, line = self._entries.popleft()
        self._n_bytes -= len(line)
        self._first_lost = self._first_lost or record
        self._n_lost += 1
        self.n_dropped += 1

    def _close_hole(self, first: Record) -> Dropped:
        n_lost = self._n_lost
        self._first_lost, self._n_lost = None, 0
        return Dropped(seq=first.seq, time=first.time, t=first.t, source=first.source, count=n_lost, from_seq=first.seq)
