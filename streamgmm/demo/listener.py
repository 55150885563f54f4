"""A sink that shows a person each event as it comes, and keeps all records."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from streamgmm.records import Record, Start
from streamgmm.sinks.sink import Message, OnFailure, Snapshot


class PrintingSink:
    """Prints the start of each event to a terminal.

    Args:
        console: where to.

    Attributes:
        records: everything published, in order.
    """

    name = "demo"
    snapshot: Snapshot | None = None
    n_clients = 0

    def __init__(self, console: Console) -> None:
        self.records: list[Record] = []
        self._console = console

    def open(self, on_failure: OnFailure) -> None:
        """Nothing to claim."""

    def publish(self, message: Message) -> None:
        """Keep the record; print it if an event starts."""
        record = message.record
        self.records.append(record)
        if isinstance(record, Start):
            self._console.print(Text(f"{record.start_t:7.2f} s  {record.label:<16} {record.score:4.0%}"))

    def drain(self) -> None:
        """Nothing waits."""

    def hurry(self) -> None:
        """Nothing waits."""

    def reopen(self) -> None:
        """Nothing to do."""

    def close(self, timeout_s: float) -> None:
        """Nothing to deliver."""
