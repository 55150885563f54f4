"""The queue of one reader: bounded, the oldest records give way, and the reader is told what it missed."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from streamgmm.records import Dropped, Record, encode_json
from streamgmm.sinks.formats import Formatter

MAX_QUEUE_BYTES = 256 * 1024
"""Most bytes that wait for one reader, however many records they are."""


class _Entry(NamedTuple):
    record: Record
    line: bytes


class RecordQueue:
    """First in, first out; a push into a full queue drops from the old end. Not thread-safe.

    As drops are from the old end only, the hole is always just before the oldest record that is left:
    the next `pop` announces all of it in one `dropped` record, which takes the place of the first lost
    one (its seq, time and t), so that the sequence numbers that a reader sees go on rising strictly.

    Always: `n_pushed == n_popped + n_dropped + len(queue)`, where announcements are not counted.

    Args:
        max_records: most records that wait.
        max_bytes: most bytes that wait; a single longer record is dropped itself.
        announce: formats the `dropped` record; where it returns None, a hole is skipped in silence.
    """

    def __init__(
        self, max_records: int, max_bytes: int = MAX_QUEUE_BYTES, *, announce: Formatter = encode_json
    ) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._announce = announce
        self._entries: deque[_Entry] = deque()
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
        """Whether there is a record or a hole to tell of."""
        return bool(self._entries) or self._first_lost is not None

    @property
    def is_full(self) -> bool:
        """Whether the next push will, for its count alone, drop a record."""
        return len(self._entries) >= self._max_records

    def push(self, record: Record, line: bytes) -> None:
        """Append `record`, which `line` shows, and drop the oldest until the bounds hold."""
        self._entries.append(_Entry(record, line))
        self._n_bytes += len(line)
        self.n_pushed += 1
        while len(self._entries) > self._max_records or self._n_bytes > self._max_bytes:
            self._drop_oldest()

    def pop(self) -> bytes | None:
        """The next line: that of the hole if there is one, else that of the oldest record; None: no more."""
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
