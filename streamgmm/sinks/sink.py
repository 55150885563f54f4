"""The protocol of all sinks: stdout, files, sockets and commands."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from streamgmm.errors import OutputError, StreamgmmError, SystemResourceError
from streamgmm.memory_limit import memory_limit_bytes
from streamgmm.records import Record, Status
from streamgmm.sinks.control import Obey

logger = logging.getLogger("streamgmm.sinks")


class Message(NamedTuple):
    """A stamped record and its JSON line, encoded once for all readers."""

    record: Record
    line: bytes


OnFailure = Callable[[StreamgmmError], None]
"""Called once, from the sink's own thread, when the sink cannot continue."""

Snapshot = Callable[[], Sequence[Status]]
"""Returns the current status of every source; called from the sinks' threads."""


class PipeClosedError(OutputError):
    """Raised when the other end of the pipe at stdout was closed.

    This is the usual end of `streamgmm run | head -1`; a shell expects the program to exit as if by SIGPIPE.
    """


class Sink(Protocol):
    """Delivers records to one output, through its own thread and bounded queues.

    Attributes:
        name: URI of the sink as configured.
        snapshot: returns the statuses for the greeting of a new subscriber; set before `open`, and unused by a sink
            without subscribers. None: the greeting contains the last published statuses.
        obey: obeys the commands of whoever may give them; set before `open`, and unused by a sink without commands.
    """

    name: str
    snapshot: Snapshot | None
    obey: Obey | None

    @property
    def n_clients(self) -> int:
        """Number of subscribers at this moment; 0 for a sink that cannot have any."""

    def open(self, on_failure: OnFailure) -> None:
        """Claim the output and start serving it.

        Raises:
            StreamgmmError: the output cannot be opened.
        """

    def publish(self, message: Message) -> None:
        """Accept a record, without waiting for any reader (except see `PushOptions`); no effect after `close`."""

    def drain(self) -> None:
        """Wait until the reader has received everything, if the sink may wait for its reader (see `PushOptions`)."""

    def hurry(self) -> None:
        """Stop waiting for readers: `publish` and `drain` return at once, and a slow reader loses records."""

    def reopen(self) -> None:
        """Reopen the file, e.g. after a rotation; from any thread, and without effect on a sink without a file."""

    def close(self, timeout_s: float) -> None:
        """Deliver queued records for at most `timeout_s` seconds, then close; safe before `open`, and repeatedly."""


def report_bug(error: Exception, name: str) -> StreamgmmError:
    """Log an unexpected exception of a sink with its traceback; return the error for `OnFailure`.

    A bug, or an input that nobody thought of, ends the one sink that it concerns. Its exit code is that of a bug (70),
    if the run has no other output and ends too.
    """
    logger.error("sink.failed unexpectedly sink=%s", name, exc_info=error)
    return StreamgmmError(
        f"unexpected {type(error).__name__}: {error}", where=name, hint="this is a bug, please report it"
    )


def start_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a daemon thread, which does not keep the process alive, and return it.

    Raises:
        SystemResourceError: the system refused to start a thread.
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        # Raised for a lack of memory as well as for the limit on processes; the hint names the likelier one.
        hint = "raise ulimit -u" if memory_limit_bytes() is None else "raise ulimit -v, the limit on memory"
        raise SystemResourceError(f"cannot start a thread: {error}", where=name, hint=hint) from error
    return thread
