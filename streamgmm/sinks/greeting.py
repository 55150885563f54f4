"""Greeting: the records that a late subscriber needs to know the sources, their states and the open events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from streamgmm.records import Bye, End, Hello, ModelChanged, Record, Start, Status, encode_json
from streamgmm.sinks.sink import Message


class _Key(NamedTuple):
    source: str
    type: str
    event_id: str = ""


class Greeting:
    """Last `hello`, `model` and `status` of each source, and the `start` of every open event, in order of seq.

    Attributes:
        last_seq: number of the last record that it was updated by; -1 before the first.
    """

    def __init__(self) -> None:
        self.last_seq = -1
        self._messages: dict[_Key, Message] = {}
        # Only for greetings whose statuses are from before the end of a source.
        self._byes: dict[str, Message] = {}

    def update(self, message: Message, *, is_wanted: bool = True) -> None:
        """Update the greeting by a published record; one that is not wanted is not added, but still removes others."""
        record = message.record
        self.last_seq = record.seq
        if isinstance(record, Hello):
            # A new run of this source: its earlier records no longer apply.
            self._messages = {key: kept for key, kept in self._messages.items() if key.source != record.source}
            self._byes.pop(record.source, None)
        elif isinstance(record, End):
            self._messages.pop(_Key(record.source, "start", record.id), None)
        if is_wanted:
            self._keep(message)

    def to_bytes(self, now: Iterable[Status] = (), *, after_seq: int | None = None) -> bytes:
        """Return all lines of the greeting.

        Args:
            now: current status of each source. A status replaces the last `status` of its source and takes its
                number, or follows the `hello` if there was none; it is left out if the source has published
                neither. All records of sources without a status in `now` are left out. If `now` is empty, the last
                published statuses are used.
            after_seq: `last_seq` before `now` was collected, during which others may publish: a status that was
                published later is used in place of that in `now`, a source whose `hello` came later is not left out,
                and a `bye` that came later is part of the greeting. None: nothing was published later.
        """
        statuses = list(now)
        newest_seq = self.last_seq if after_seq is None else after_seq
        messages = self._of_sources([status.source for status in statuses], newest_seq) if statuses else self._messages
        messages = dict(messages)
        for status in statuses:
            key = _Key(status.source, "status")
            # A status that was not published has no number of its own.
            last = self._messages.get(key) or self._messages.get(_Key(status.source, "hello"))
            if last is not None and last.record.seq <= newest_seq:
                messages[key] = _message_of(msgspec.structs.replace(status, seq=last.record.seq))
        # Sorting is stable: a status that takes the number of its hello comes after it.
        return b"".join(kept.line for kept in sorted(messages.values(), key=lambda kept: kept.record.seq))

    def _of_sources(self, sources: list[str], newest_seq: int) -> dict[_Key, Message]:
        """Return the records of these sources and of those whose hello came after number `newest_seq`."""
        hellos = {key.source: kept for key, kept in self._messages.items() if key.type == "hello"}
        later = [name for name, hello in hellos.items() if _is_later(hello, newest_seq)]
        names = list(dict.fromkeys([*sources, *later]))
        # A reload may have added or removed sources since these hellos were published.
        messages = {key: _naming(names, kept) for key, kept in self._messages.items() if key.source in names}
        ended = {name: bye for name, bye in self._byes.items() if name in names and _is_later(bye, newest_seq)}
        return messages | {_Key(name, "bye"): bye for name, bye in ended.items()}

    def _keep(self, message: Message) -> None:
        record = message.record
        match record:
            case Hello():
                self._messages[_Key(record.source, "hello")] = message
            case ModelChanged():
                self._messages[_Key(record.source, "model")] = message
            case Status():
                self._messages[_Key(record.source, "status")] = message
            case Bye():
                self._byes[record.source] = message
            case Start(id=event_id):
                self._messages[_Key(record.source, "start", event_id)] = message


def _is_later(message: Message, seq: int) -> bool:
    return message.record.seq > seq


def _naming(sources: list[str], message: Message) -> Message:
    """Return a hello of several sources with these sources, and any other message as it is."""
    hello = message.record
    is_of_several = isinstance(hello, Hello) and bool(hello.sources)
    return _message_of(msgspec.structs.replace(hello, sources=sources)) if is_of_several else message


def _message_of(record: Record) -> Message:
    return Message(record, encode_json(record))
