"""Streams of bytes from worker processes: one stream for each recording, read in the order of the recordings.

A `ProcessExecutor` gives one result per item, and loses all results with one process. Here the output of a recording
is passed on while it is made, what finished early is held within a limit, and a process that is killed costs only the
rest of its own recording.
"""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from logging.handlers import QueueHandler
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import NamedTuple

from streamgmm.errors import SystemResourceError
from streamgmm.training.workers import end_with_parent, starting_processes

MAX_AHEAD = 4
"""Most recordings per process that are begun before the first unfinished one ends."""

MAX_HELD_BYTES = 2**20
"""Bytes of one recording that are held until its turn comes; its process waits while there are more."""

Work = Callable[[Path], Iterator[bytes]]
"""A function at the top level of a module, or a partial of one: yields the output for one recording."""


class _End(NamedTuple):
    """The last message of a stream, and the error that ended it."""

    error: Exception | None


_Message = bytes | logging.LogRecord | _End


@dataclass
class _Held:
    """Messages of a recording that were not read yet."""

    messages: deque[_Message] = field(default_factory=deque)
    n_bytes: int = 0


@dataclass
class _Worker:
    """A process, and the recording that it works on: its position, None while it waits for one."""

    process: SpawnProcess
    connection: Connection
    position: int | None = None


@contextmanager
def streaming(work: Work, paths: Sequence[Path], n_jobs: int) -> Iterator[Iterator[Iterator[bytes]]]:
    """Provide the output of `work` for each path, in order; leaving ends all processes at once.

    Each stream has to be read to its end, or to its error, before the next one is requested. What processes log is
    logged here when its turn comes.

    Args:
        work: raises its errors in the stream that they concern.
        paths: the recordings.
        n_jobs: number of processes, at least 1.

    Raises:
        SystemResourceError: in a stream: its process was killed.
    """
    crew = _Crew(work, paths, min(n_jobs, len(paths)))
    try:
        crew.start()
        yield map(crew.stream, range(len(paths)))
    finally:
        crew.end()


class _Crew:
    """The processes, and what they sent."""

    def __init__(self, work: Work, paths: Sequence[Path], n_processes: int) -> None:
        self._work = work
        self._paths = paths
        self._n_processes = n_processes
        # Spawned, not forked: a fork would copy the locks of threads that do not exist in the child.
        self._context = get_context("spawn")
        # This process alone holds the writing end, so it closes even if the process is killed.
        self._lifeline, self._end = self._context.Pipe(duplex=False)
        self._workers: list[_Worker] = []
        self._held: dict[int, _Held] = {}
        self._n_given = 0
        self._logged: set[tuple[str, str]] = set()

    def start(self) -> None:
        """Start the processes, or fewer where the system has no room for all of them."""
        for _ in range(self._n_processes):
            self._start_worker()

    def end(self) -> None:
        """End all processes, whatever they do."""
        self._end.close()
        self._lifeline.close()
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()

    def stream(self, position: int) -> Iterator[bytes]:
        """Yield the output for the recording at `position`, and raise its error."""
        while True:
            self._give_out(position)
            held = self._held[position]
            if not held.messages:
                self._receive(position)
                continue
            message = held.messages.popleft()
            if isinstance(message, bytes):
                held.n_bytes -= len(message)
                yield message
            elif isinstance(message, logging.LogRecord):
                self._log(message)
            else:
                del self._held[position]
                if message.error is not None:
                    raise message.error
                return

    def _start_worker(self) -> None:
        ours, theirs = self._context.Pipe()
        level = logging.getLogger("streamgmm").level
        process = self._context.Process(target=_serve, args=(theirs, self._lifeline, level), daemon=True)
        try:
            with starting_processes():
                process.start()
        except OSError:
            ours.close()
            # The others can do the work of all.
            if not self._workers:
                raise
        else:
            self._workers.append(_Worker(process, ours))
        finally:
            # Open in the child alone, so that its death ends the connection.
            theirs.close()

    def _give_out(self, first: int) -> None:
        """Give recordings to waiting processes, as far ahead of the first unfinished one as allowed."""
        end = min(len(self._paths), first + MAX_AHEAD * self._n_processes)
        for worker in self._workers:
            if worker.position is None and self._n_given < end:
                worker.position = self._n_given
                self._held[self._n_given] = _Held()
                self._n_given += 1
                # A process that is gone is noticed where its messages are received.
                with suppress(OSError):
                    worker.connection.send((self._work, self._paths[worker.position]))

    def _receive(self, first: int) -> None:
        """Wait for messages, and hold them; no more of recordings of which enough is held, except the first one."""
        connections = [worker.connection for worker in self._workers if self._has_room(worker.position, first)]
        ready = wait(connections)
        for worker in [worker for worker in self._workers if worker.connection in ready]:
            try:
                message: _Message = worker.connection.recv()
            except (EOFError, OSError):
                self._replace(worker)
                continue
            assert worker.position is not None
            self._hold(worker.position, message)
            if isinstance(message, _End):
                worker.position = None

    def _has_room(self, position: int | None, first: int) -> bool:
        return position is None or position == first or self._held[position].n_bytes < MAX_HELD_BYTES

    def _hold(self, position: int, message: _Message) -> None:
        held = self._held[position]
        held.messages.append(message)
        held.n_bytes += len(message) if isinstance(message, bytes) else 0

    def _replace(self, worker: _Worker) -> None:
        """Take note that a process was killed, and start another one in its place."""
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.kill()
        worker.process.join()
        if worker.position is not None:
            where, hint = str(self._paths[worker.position]), "is the memory full? use fewer with --jobs"
            error = SystemResourceError("a worker process was killed", where=where, hint=hint)
            self._hold(worker.position, _End(error))
        if self._n_given < len(self._paths):
            self._start_worker()

    def _log(self, record: logging.LogRecord) -> None:
        # Once: each process gives the warnings that one process would give only once.
        if (key := (record.name, record.getMessage())) not in self._logged:
            self._logged.add(key)
            logging.getLogger(record.name).handle(record)


class _Forwarder(QueueHandler):
    """Send log records to the parent, among the output that they belong to."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._connection = connection

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send a prepared record."""
        self._connection.send(record)


def _serve(connection: Connection, lifeline: Connection, log_level: int) -> None:
    """Work on one recording after the other until the parent is gone."""
    end_with_parent(lifeline)
    logging.getLogger().addHandler(_Forwarder(connection))
    logging.getLogger("streamgmm").setLevel(log_level)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            work, path = connection.recv()
            _send(_End(_sent_all(work, path, connection)), connection)


def _sent_all(work: Work, path: Path, connection: Connection) -> Exception | None:
    try:
        for piece in work(path):
            connection.send(piece)
    except Exception as error:
        # Kept for the report of a bug: a traceback does not pass between processes.
        error.add_note(traceback.format_exc())
        return error
    return None


def _send(end: _End, connection: Connection) -> None:
    try:
        connection.send(end)
    except (TypeError, ValueError, AttributeError):  # an exception of a library that cannot be pickled
        connection.send(_End(RuntimeError(str(end.error))))
