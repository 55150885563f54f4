"""From stdin to sources, metrics and viewers."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from streamgmm.records import AnyRecord, decode_json
from streamgmm.sinks.child.protocol import Greeting
from streamgmm.sinks.web.metrics import Metrics
from streamgmm.sinks.web.sources import KEPT_TYPES, Sources, type_of
from streamgmm.sinks.web.viewers import Viewers, message_of

FRESH_S = 20.0
"""Time after which a daemon that has said nothing must be stuck (s): it greets every few seconds."""


class Feed:
    """Take in what arrives on stdin, and answer it.

    Args:
        sources: kept up to date.
        metrics: count records.
        viewers: get every record, and the state after each greeting.
        report: writes a line to stdout.
    """

    def __init__(self, sources: Sources, metrics: Metrics, viewers: Viewers, report: Callable[[str], None]) -> None:
        self._sources, self._metrics, self._viewers, self._report = sources, metrics, viewers, report
        self._received = b""
        self._greeting: Greeting | None = None
        self._greeting_records: list[AnyRecord] = []
        self._heard_s = time.monotonic()

    @property
    def is_fresh(self) -> bool:
        """Return whether the daemon has sent something lately."""
        return time.monotonic() - self._heard_s < FRESH_S

    def take(self, arrived: bytes) -> None:
        """Take in bytes that have arrived."""
        self._heard_s = time.monotonic()
        *lines, self._received = (self._received + arrived).split(b"\n")
        for line in lines:
            self._take_line(line)

    def _take_line(self, line: bytes) -> None:
        if line.startswith(b'{"greeting"'):
            self._greeting, self._greeting_records = msgspec.json.decode(line, type=Greeting), []
        elif self._greeting is not None:
            self._greeting_records.append(decode_json(line))
        else:
            self._take_record(decode_json(line), line)
            self._report("done")
        if self._greeting is not None and len(self._greeting_records) == self._greeting.greeting:
            self._sources.greet(self._greeting_records, self._greeting.seq)
            self._greeting = None
            self._viewers.broadcast(message_of("state", self._sources.to_json()))
            self._report("done")

    def _take_record(self, record: AnyRecord, line: bytes) -> None:
        self._sources.apply(record, line)
        self._metrics.count(record)
        kind = type_of(record)
        self._viewers.broadcast(message_of(kind, line, record.seq if kind in KEPT_TYPES else None))
