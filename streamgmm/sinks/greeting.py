"""Greeting: the records that a late subscriber needs to know the sources, their states and the open events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from streamgmm.records import End, Hello, ModelChanged, Record, Start, Status, encode_json
from streamgmm.sinks.sink import Message


class _Key(NamedTuple):
    source: str
    type: str
    event_id: str = ""


class Greeting:
    """Last `hello`, `model` and `status` of each source, and the `start` of every open event, in order of seq."""

    def __init__(self) -> None:
        self._messages: dict[_Key, Message] = {}

    def update(self, message: Message, *, is_wanted: bool = True) -> None:
        """Update the greeting by a published record; one that is not wanted is not added, but still removes others."""
        record = message.record
        if isinstance(record, Hello):
            # A new run of this source: its earlier records no longer apply.
            self._messages = {key: kept for key, kept in self._messages.items() if key.source != record.source}
        elif isinstance(record, End):
            self._messages.pop(_Key(record.source, "start", record.id), None)
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
        sources = [status.source for status in statuses]
        messages = dict(self._messages)
        if sources:
            # A reload may have added or removed sources since these hellos were published.
            messages = {key: _naming(sources, kept) for key, kept in messages.items() if key.source in sources}
        for status in statuses:
            key = _Key(status.source, "status")
            # A status that was not published has no number of its own.
            last = self._messages.get(key) or self._messages.get(_Key(status.source, "hello"))
            if last is not None:
                messages[key] = _message_of(msgspec.structs.replace(status, seq=last.record.seq))
        # Sorting is stable: a status that takes the number of its hello comes after it.
        return b"".join(kept.line for kept in sorted(messages.values(), key=lambda kept: kept.record.seq))

    def _keep(self, message: Message) -> None:
        record = message.record
        match record:
            case Hello():
                self._messages[_Key(record.source, "hello")] = message
            case ModelChanged():
                self._messages[_Key(record.source, "model")] = message
            case Status():
                self._messages[_Key(record.source, "status")] = message
            case Start(id=event_id):
                self._messages[_Key(record.source, "start", event_id)] = message


def _naming(sources: list[str], message: Message) -> Message:
    """Return a hello of several sources with these sources, and any other message as it is."""
    hello = message.record
    is_of_several = isinstance(hello, Hello) and bool(hello.sources)
    return _message_of(msgspec.structs.replace(hello, sources=sources)) if is_of_several else message


def _message_of(record: Record) -> Message:
    return Message(record, encode_json(record))
