"""What the records of a daemon tell of its sources, for whoever asks at any moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from streamgmm.records import AnyRecord, Bye, Dropped, End, Hello, ModelChanged, Start, Status, Window

MAX_KEPT = 1000
"""Most records that are kept for those who come later."""

KEPT_TYPES = frozenset({"hello", "model", "start", "end", "gap", "error", "bye"})
"""Types of records that are kept; the others are a part of the state, or too many."""

HEARING_STATES = frozenset({"ok", "quiet", "clipping", "overloaded"})
"""States in which sound arrives; a test compares them with those of `streamgmm.service.health`."""


class Source:
    """One source.

    Args:
        hello: its first record.

    Attributes:
        hello: its first record.
        labels: labels of its model.
        status: its last status; None before the first.
        window: its last window; None without any.
        open_events: start of each open event by its id.
        end_reason: why it has ended; None while it runs.
    """

    def __init__(self, hello: Hello) -> None:
        self.hello = hello
        self.labels = hello.labels
        self.model = hello.model.name
        self.status: Status | None = None
        self.window: Window | None = None
        self.open_events: dict[str, Start] = {}
        self.end_reason: str | None = None

    @property
    def state(self) -> str:
        """Return the state in one word; `ended` after the last record."""
        if self.end_reason is not None:
            return "ended"
        return self.status.state if self.status else "starting"

    @property
    def is_ready(self) -> bool:
        """Return whether sound arrives, or is not required to."""
        return self.state in HEARING_STATES or not self.hello.is_required

    @property
    def level_dbfs(self) -> float | None:
        """Return the latest level (dB re full scale); None if it is not known."""
        if self.window is not None:
            return self.window.level_dbfs
        return self.status.health.level_dbfs if self.status and self.status.health else None

    def is_continuation_of(self, other: Source) -> bool:
        """Return whether both began with the same hello; a reload that replaces a source sends another one."""
        return (self.hello.run_id, self.hello.seq) == (other.hello.run_id, other.hello.seq)

    def follow(self, record: AnyRecord) -> None:
        """Take in a record of this source."""
        match record:
            case ModelChanged(labels=labels, model=model):
                self.labels, self.model, self.window = labels, model.name, None
            case Status():
                self.status = record
            case Window():
                self.window = record
            case Start(id=event_id):
                self.open_events[event_id] = record
            case End(id=event_id):
                self.open_events.pop(event_id, None)
            case Bye(reason=reason):
                self.end_reason = reason
                self.open_events.clear()

    def to_json(self) -> dict[str, Any]:
        """Return what there is to know, for JSON."""
        return {
            "name": self.hello.source,
            "run_id": self.hello.run_id,
            "hello_seq": self.hello.seq,
            "state": self.state,
            "detail": self.end_reason or (self.status.detail if self.status else ""),
            "is_required": self.hello.is_required,
            "model": self.model,
            "labels": self.labels,
            "sample_rate_hz": self.hello.sample_rate_hz,
            "hop_s": self.hello.hop_s,
            "level_dbfs": self.level_dbfs,
            "health": self.status.health if self.status else None,
            "open_events": list(self.open_events.values()),
            "window": self.window,
        }


class Kept(NamedTuple):
    """A record that is kept, and its JSON without newline."""

    seq: int
    type: str
    line: bytes


class Sources:
    """All sources, updated record by record.

    Args:
        version: version of the daemon.
        has_clips: whether clips are served.

    Attributes:
        by_name: the sources.
        kept: the last records of the types that are kept, the oldest first.
        last_seq: number of the last record that was applied; a greeting may be ahead of it.
    """

    def __init__(self, version: str, *, has_clips: bool = False) -> None:
        self._version, self._has_clips = version, has_clips
        self.by_name: dict[str, Source] = {}
        self.kept: deque[Kept] = deque(maxlen=MAX_KEPT)
        self.last_seq = -1
        # Among those that are kept, none is missing from this number on; None before the first.
        self._first_seq: int | None = None
        # The state is at least that after this record.
        self._greeted_seq = -1

    def greet(self, records: Iterable[AnyRecord], seq: int) -> None:
        """Replace all that is known by the records of a greeting, which describe the state after record `seq`."""
        before, self.by_name = self.by_name, {}
        for record in records:
            self._follow(record)
        for name, source in self.by_name.items():
            if name in before and source.window is None and source.is_continuation_of(before[name]):
                # A greeting has no windows.
                source.window = before[name].window
        self._greeted_seq = seq

    def apply(self, record: AnyRecord, line: bytes) -> None:
        """Take in a record; `line` is its JSON without newline."""
        # Older records are those that waited, and tell nothing of the present.
        if record.seq > self._greeted_seq or self._is_current_window(record):
            self._follow(record)
        kind = type_of(record)
        if self._first_seq is None and not isinstance(record, Window):
            self._first_seq = record.seq
        if isinstance(record, Dropped):
            self._first_seq = record.from_seq + record.count
        elif kind in KEPT_TYPES:
            if len(self.kept) == MAX_KEPT:
                self._first_seq = self.kept[0].seq + 1
            self.kept.append(Kept(record.seq, kind, line))
        self.last_seq = max(self.last_seq, record.seq)

    def since(self, seq: int) -> tuple[list[Kept], bool]:
        """Return the kept records after number `seq`, and whether none of these is missing."""
        first_seq = self._greeted_seq + 1 if self._first_seq is None else self._first_seq
        return [kept for kept in self.kept if kept.seq > seq], seq + 1 >= first_seq

    @property
    def is_ready(self) -> bool:
        """Return whether sound arrives from all sources that are required, and all have introduced themselves."""
        expected = {name for source in self.by_name.values() for name in source.hello.sources}
        sources = self.by_name.values()
        return bool(sources) and expected <= self.by_name.keys() and all(source.is_ready for source in sources)

    def to_json(self) -> bytes:
        """Return the state of all sources as JSON."""
        sources = [source.to_json() for source in self.by_name.values()]
        common = {"version": self._version, "last_seq": self.last_seq, "has_clips": self._has_clips}
        return msgspec.json.encode({**common, "sources": sources})

    def _is_current_window(self, record: AnyRecord) -> bool:
        """Return whether a record is a window after the last hello of its source."""
        source = self.by_name.get(record.source)
        return isinstance(record, Window) and source is not None and record.seq >= source.hello.seq

    def _follow(self, record: AnyRecord) -> None:
        if isinstance(record, Hello):
            self.by_name[record.source] = Source(record)
        elif record.source in self.by_name:
            self.by_name[record.source].follow(record)


def type_of(record: AnyRecord) -> str:
    """Return the type of a record, as in its JSON."""
    return str(type(record).__struct_config__.tag)
