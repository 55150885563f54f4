"""The protocol of all sinks: stdout, files, sockets and commands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from streamgmm.errors import OutputError, StreamgmmError, SystemResourceError
from streamgmm.memory_limit import memory_limit_bytes
from streamgmm.records import Record, Status


class Message(NamedTuple):
    """A stamped record and its JSON line, encoded once for all readers."""

    record: Record
    line: bytes


OnFailure = Callable[[StreamgmmError], None]
"""Called once, from the sink's own thread, when the sink cannot go on."""

Snapshot = Callable[[], Sequence[Status]]
"""Makes the current status of every source; called from the sinks' threads."""


class PipeClosedError(OutputError):
    """Nobody reads stdout any more: the other end of the pipe was closed.

    The usual end of `streamgmm run | head -1`; a shell expects the program to die as by SIGPIPE.
    """


class Sink(Protocol):
    """Takes records to one place, through a thread and bounded queues of its own.

    Attributes:
        name: its URI as configured.
        snapshot: greets a new subscriber; set before `open`, and unused by a sink without subscribers. None: the
            greeting holds the last status published.
    """

    name: str
    snapshot: Snapshot | None

    @property
    def n_clients(self) -> int:
        """Subscribers at this moment; 0 for a sink that has no subscribers."""

    def open(self, on_failure: OnFailure) -> None:
        """Claim the output and start serving it.

        Raises:
            StreamgmmError: the output cannot be had.
        """

    def publish(self, message: Message) -> None:
        """Hand over a record, without waiting for any reader (but see `PushOptions`); no effect after `close`."""

    def drain(self) -> None:
        """Wait until the reader has everything, if the sink waits for its reader at all (see `PushOptions`)."""

    def hurry(self) -> None:
        """Wait for no reader any more: `publish` and `drain` return at once, and a slow reader loses records."""

    def reopen(self) -> None:
        """Open a file anew, as after a rotation; from any thread, and without effect where there is no file."""

    def close(self, timeout_s: float) -> None:
        """Deliver what waits, for at most `timeout_s` seconds, and let go; safe before `open` and again."""


def start_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """A running daemon thread, which never keeps the process alive.

    Raises:
        SystemResourceError: the system refused it.
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        hint = "raise ulimit -u" if memory_limit_bytes() is None else "raise ulimit -v, the limit on memory"
        raise SystemResourceError(f"cannot start a thread: {error}", where=name, hint=hint) from error
    return thread
