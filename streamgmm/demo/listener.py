"""A sink that prints each event when it is reported, and keeps all records."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from streamgmm.records import Record, Start
from streamgmm.sinks.control import Obey
from streamgmm.sinks.sink import Message, OnFailure, Snapshot


class PrintingSink:
    """Prints the start of each event to a terminal.

    Args:
        console: the terminal.

    Attributes:
        records: all published records, in order.
    """

    name = "demo"
    snapshot: Snapshot | None = None
    obey: Obey | None = None
    n_clients = 0

    def __init__(self, console: Console) -> None:
        self.records: list[Record] = []
        self._console = console

    def open(self, on_failure: OnFailure) -> None:
        """Do nothing: a terminal is always open."""

    def publish(self, message: Message) -> None:
        """Keep the record; print it if an event starts."""
        record = message.record
        self.records.append(record)
        if isinstance(record, Start):
            # As `Text`, so that brackets in a label are not read as markup.
            self._console.print(Text(f"{record.start_t:7.2f} s  {record.label:<16} {record.score:4.0%}"))

    def drain(self) -> None:
        """Do nothing: no record waits."""

    def hurry(self) -> None:
        """Do nothing: no record waits."""

    def reopen(self) -> None:
        """Do nothing: there is no file."""

    def close(self, timeout_s: float) -> None:
        """Do nothing: no record waits."""
