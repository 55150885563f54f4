"""What a subscriber that comes late must know: who speaks, in which state, and what is going on now."""

from __future__ import annotations

import msgspec

from streamgmm.records import End, Hello, ModelChanged, Start, Status, encode_json
from streamgmm.sinks.sink import Message


class Greeting:
    """The last `hello`, `model` and `status`, and the `start` of every open event, in order of seq."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], bytes] = {}
        self._status_seq = 0

    def update(self, message: Message) -> None:
        """Take note of a record that was published."""
        match message.record:
            case Hello():
                # A new run: what came before says nothing about it.
                self._lines = {("hello", ""): message.line}
                self._status_seq = message.record.seq
            case ModelChanged():
                self._renew(("model", ""), message.line)
            case Status():
                self._renew(("status", ""), message.line)
                self._status_seq = message.record.seq
            case Start(id=event_id):
                self._renew(("start", event_id), message.line)
            case End(id=event_id):
                self._lines.pop(("start", event_id), None)

    def to_bytes(self, now: Status | None = None) -> bytes:
        """All its lines.

        Args:
            now: how it stands at this moment; takes the place and the number of the last `status`, or follows
                the `hello` if there was none.
        """
        lines = dict(self._lines)
        if now is not None and lines:
            fresh = encode_json(msgspec.structs.replace(now, seq=self._status_seq))
            if ("status", "") not in lines:
                lines = {("hello", ""): lines.pop(("hello", ""), b""), ("status", ""): fresh, **lines}
            lines["status", ""] = fresh
        return b"".join(lines.values())

    def _renew(self, key: tuple[str, str], line: bytes) -> None:
        self._lines.pop(key, None)
        self._lines[key] = line
