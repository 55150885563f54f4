"""Hub: publish the records of all sources to all sinks, and drop sinks that fail."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from streamgmm.errors import ConfigError, StreamgmmError
from streamgmm.records import Glimpse, Record, encode_json
from streamgmm.settings.output import OutputSection, SinkSection, sections_of_sinks
from streamgmm.sinks.control import Obey
from streamgmm.sinks.registry import SinkPlan, find_kind_of, make_socket_sink, valid_forms
from streamgmm.sinks.sink import Message, OnFailure, Sink, Snapshot
from streamgmm.sinks.socket.activation import InheritedListener
from streamgmm.sinks.socket.token import read_token

logger = logging.getLogger("streamgmm.sinks")


class Hub:
    """Number the records of all sources, and publish each to every sink that has not failed.

    A sink that fails is logged and dropped; the others continue.

    Args:
        sinks: sinks that receive the records; at least one.
        beside: sinks of something else, e.g. of audio, which begin and end with the others, and without which a run
            goes on; a run does not go on for them alone.

    Attributes:
        failed_sinks: error of each failed sink by its name.
    """

    def __init__(self, sinks: Iterable[Sink], beside: Iterable[Sink] = ()) -> None:
        self.failed_sinks: dict[str, StreamgmmError] = {}
        self._sinks: tuple[Sink, ...] = tuple(sinks)
        self._beside = tuple(beside)
        self._opened: list[Sink] = []
        self._lock = threading.Lock()
        # Not the lock above: a sink may fail, and be dropped, while `publish` waits for the reader of that sink.
        # Taken after the lock of a source's publisher, and before that of any sink.
        self._publishing = threading.Lock()
        self._next_seq = 0

    def open(self, on_failure: OnFailure) -> None:
        """Open all sinks, or none.

        Args:
            on_failure: receives the error of the last remaining sink, from the thread of that sink.

        Raises:
            StreamgmmError: a sink cannot be opened.
        """
        self._on_failure = on_failure
        try:
            for sink in self._all:
                sink.open(partial(self._drop, sink))
                self._opened.append(sink)
        except BaseException:
            self.close(0.0)
            raise

    @property
    def n_clients(self) -> int:
        """Number of subscribers of all sinks at this moment."""
        return sum(sink.n_clients for sink in self._sinks)

    @property
    def _all(self) -> tuple[Sink, ...]:
        return (*self._sinks, *self._beside)

    def greet_with(self, snapshot: Snapshot) -> None:
        """Greet each new subscriber with the statuses that `snapshot` returns; call before `open`."""
        for sink in self._sinks:
            sink.snapshot = snapshot

    def obey_with(self, obey: Obey) -> None:
        """Let sinks pass on the commands of whoever may give them; call before `open`."""
        for sink in self._sinks:
            sink.obey = obey

    def publish(self, record: Record) -> None:
        """Number a stamped record and pass it to every sink; may be called from any thread.

        Blocks for a slow reader only if the sinks may wait (see `Sink.publish`), and then blocks all sources.
        """
        # Under one lock, so that every sink receives the records in the order of their numbers.
        with self._publishing:
            # A glimpse has no number of its own: to sinks that do not get it, it would look lost.
            seq = self._next_seq - 1 if isinstance(record, Glimpse) else self._next_seq
            numbered = msgspec.structs.replace(record, seq=seq)
            self._next_seq = seq + 1
            message = Message(numbered, encode_json(numbered))
            for sink in self._sinks:
                sink.publish(message)

    def drain(self) -> None:
        """Wait until the readers of sinks that may wait have received everything (see `Sink.drain`)."""
        for sink in self._all:
            sink.drain()

    def hurry(self) -> None:
        """Stop waiting for readers (see `Sink.hurry`)."""
        for sink in self._all:
            sink.hurry()

    def reopen(self) -> None:
        """Reopen files, e.g. after a rotation (see `Sink.reopen`); may be called from any thread."""
        for sink in self._all:
            sink.reopen()

    def close(self, timeout_s: float) -> None:
        """Deliver queued records for at most `timeout_s` seconds in total, and close all sinks."""
        # Sinks drain in their own threads, so the next ones continue while one is waited for.
        deadline_s = time.monotonic() + timeout_s
        # Including those that failed later, whose threads may still run.
        for sink in self._opened:
            sink.close(max(0.0, deadline_s - time.monotonic()))

    def _drop(self, sink: Sink, error: StreamgmmError) -> None:
        with self._lock:
            self.failed_sinks[sink.name] = error
            # Replaced as a whole, so that other threads can iterate over it without this lock.
            self._sinks = tuple(other for other in self._sinks if other is not sink)
            is_last = not self._sinks
        logger.error("sink.failed sink=%s reason=%s", sink.name, error)
        if is_last:
            self._on_failure(error)


def make_sinks(
    section: OutputSection,
    *,
    is_live: bool = True,
    inherited: Sequence[InheritedListener] = (),
    clips_directory: str = "",
) -> list[Sink]:
    """Return the sinks that `section` names, not yet open, and those of inherited sockets.

    Args:
        section: the output section.
        is_live: False if the source waits for its readers, so that stdout and files may block it.
        inherited: sockets that are open already; one that `section` also names is not opened again.
        clips_directory: folder of the recordings of events; empty: none.

    Raises:
        ConfigError: lists every URI that is wrong or given twice; or there is none, or the token is too weak.
        StreamgmmError: the token cannot be read.
    """
    sinks: list[Sink] = []
    sections = {own.uri: own for own in sections_of_sinks(section)}
    problems = _list_problems([own if isinstance(own, str) else own.uri for own in section.sinks])
    token = read_token(Path(section.token_file)) if section.token_file else None
    for listener in inherited:
        own = sections.get(listener.uri, SinkSection(uri=listener.uri))
        # Without the token: who may open a UNIX socket is decided by its permissions.
        sinks.append(make_socket_sink(listener, SinkPlan(own, section, is_live)))
    for uri, own in sections.items():
        try:
            kind = find_kind_of(own)
            if not any(uri == listener.uri for listener in inherited):
                sinks.append(kind.make(SinkPlan(own, section, is_live, token, clips_directory)))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return sinks


def _list_problems(uris: Sequence[str]) -> list[str]:
    if not uris:
        return [f"output.sinks: no sink; name at least one of {valid_forms()}"]
    return [f"output.sinks: {uri!r} is given twice" for uri in sorted(set(uris)) if uris.count(uri) > 1]
