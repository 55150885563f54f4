"""Greeting: the records that a late subscriber needs to know the sources, their states and the open events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from streamgmm.records import End, Hello, ModelChanged, Start, Status, encode_json
from streamgmm.sinks.sink import Message


class _Key(NamedTuple):
    source: str
    type: str
    event_id: str = ""


class _GreetingLine(NamedTuple):
    seq: int
    line: bytes


class Greeting:
    """Last `hello`, `model` and `status` of each source, and the `start` of every open event, in order of seq."""

    def __init__(self) -> None:
        self._entries: dict[_Key, _GreetingLine] = {}
        self._hellos: dict[str, Hello] = {}

    def update(self, message: Message, *, is_wanted: bool = True) -> None:
        """Update the greeting by a published record; one that is not wanted is not added, but still removes others."""
        record = message.record
        if isinstance(record, Hello):
            # A new run of this source: its earlier records no longer apply.
            self._entries = {key: entry for key, entry in self._entries.items() if key.source != record.source}
        elif isinstance(record, End):
            self._entries.pop(_Key(record.source, "start", record.id), None)
        if is_wanted:
            self._keep(message)

    def to_bytes(self, now: Iterable[Status] = ()) -> bytes:
        """Return all lines of the greeting.

        Args:
            now: current status of each source. A status replaces the last `status` of its source and takes its
                number, or follows the `hello` if there was none; it is left out if the source has published
                neither. All records of sources without a status in `now` are left out. If `now` is empty, the last
                published statuses are used.
        """
        statuses = list(now)
        entries = self._current_entries([status.source for status in statuses])
        for status in statuses:
            key = _Key(status.source, "status")
            last = self._entries.get(key) or self._entries.get(_Key(status.source, "hello"))
            if last is not None:
                entries[key] = _GreetingLine(last.seq, encode_json(msgspec.structs.replace(status, seq=last.seq)))
        # Sorting is stable: a status that takes the number of its hello comes after it.
        return b"".join(entry.line for entry in sorted(entries.values(), key=lambda entry: entry.seq))

    def _current_entries(self, sources: list[str]) -> dict[_Key, _GreetingLine]:
        """Return the entries of `sources`, with hellos that name only these; all entries if `sources` is empty."""
        if not sources:
            return dict(self._entries)
        entries = {key: entry for key, entry in self._entries.items() if key.source in sources}
        for source, hello in self._hellos.items():
            if (key := _Key(source, "hello")) in entries and hello.sources:
                line = encode_json(msgspec.structs.replace(hello, sources=sources))
                entries[key] = entries[key]._replace(line=line)
        return entries

    def _keep(self, message: Message) -> None:
        record = message.record
        match record:
            case Hello():
                self._hellos[record.source] = record
                self._renew(_Key(record.source, "hello"), message)
            case ModelChanged():
                self._renew(_Key(record.source, "model"), message)
            case Status():
                self._renew(_Key(record.source, "status"), message)
            case Start(id=event_id):
                self._renew(_Key(record.source, "start", event_id), message)

    def _renew(self, key: _Key, message: Message) -> None:
        self._entries[key] = _GreetingLine(message.record.seq, message.line)
