"""What a subscriber that comes late must know: who speaks, in which state, and what is going on now."""

from __future__ import annotations

from streamgmm.records import End, Hello, Model, Start, Status
from streamgmm.sinks.sink import Message


class Greeting:
    """The last `hello`, `model` and `status`, and the `start` of every open event, in order of seq."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], bytes] = {}

    def update(self, message: Message) -> None:
        """Take note of a record that was published."""
        match message.record:
            case Hello():
                # A new run: what came before says nothing about it.
                self._lines = {("hello", ""): message.line}
            case Model():
                self._renew(("model", ""), message.line)
            case Status():
                self._renew(("status", ""), message.line)
            case Start(id=event_id):
                self._renew(("start", event_id), message.line)
            case End(id=event_id):
                self._lines.pop(("start", event_id), None)

    def to_bytes(self) -> bytes:
        """All its lines."""
        return b"".join(self._lines.values())

    def _renew(self, key: tuple[str, str], line: bytes) -> None:
        self._lines.pop(key, None)
        self._lines[key] = line
