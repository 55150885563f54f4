from __future__ import annotations

import logging
from pathlib import Path

import pytest

from streamgmm.errors import StreamgmmError
from streamgmm.training import worker_streams
from streamgmm.training.worker_streams import MAX_AHEAD, streaming
from tests.training.worker_tasks import stream


def streamed(*names: str, n_jobs: int = 2) -> list[bytes | str]:
    """The pieces of all streams, and the error of each that failed."""
    found: list[bytes | str] = []
    with streaming(stream, [Path(name) for name in names], n_jobs) as streams:
        for pieces in streams:
            try:
                found.extend(pieces)
            except StreamgmmError as error:
                found.append(str(error))
    return found


def pieces_of(*names: str) -> list[bytes]:
    return [f"{name} {i}\n".encode() for name in names for i in (1, 2, 3)]


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_streams_come_whole_and_in_the_order_of_the_paths(n_jobs):
    names = [str(i) for i in range(20)]
    assert streamed(*names, n_jobs=n_jobs) == pieces_of(*names)


def test_an_error_ends_its_own_stream_only():
    assert streamed("a", "bad", "b", "c") == [
        *pieces_of("a"),
        *pieces_of("bad")[:2],
        "bad: no sound",
        *pieces_of("b", "c"),
    ]


def test_a_killed_process_costs_the_rest_of_its_own_stream():
    names = ["a", "killed", "b", "killed", "killed", *"cdef"]
    found = streamed(*names)
    assert [piece for piece in found if isinstance(piece, bytes)] == [
        piece for name in names for piece in pieces_of(name)[: 2 if name == "killed" else 3]
    ]
    killed = [piece for piece in found if isinstance(piece, str)]
    assert killed == 3 * ["killed: a worker process was killed (is the memory full? use fewer with --jobs)"]


def test_a_bug_reaches_the_caller_with_its_traceback():
    with pytest.raises(ZeroDivisionError) as raised:
        streamed("a", "bug", "b")
    assert "worker_tasks.py" in raised.value.__notes__[0]


def test_an_exception_that_cannot_be_pickled_arrives_as_another():
    with pytest.raises(RuntimeError, match="not to be pickled"):
        streamed("a", "unpicklable")


def test_what_a_process_logs_is_logged_once(caplog):
    with caplog.at_level(logging.WARNING):
        assert streamed("logs", "a", "logs") == pieces_of("logs", "a", "logs")
    assert [record.getMessage() for record in caplog.records] == ["heard of logs"]


def test_no_more_than_a_limit_is_held_of_streams_whose_turn_has_not_come(monkeypatch):
    monkeypatch.setattr(worker_streams, "MAX_HELD_BYTES", 2**17)
    n_held = []
    receive = worker_streams._Crew._receive

    def watched(self, first):
        receive(self, first)
        n_held.append((len(self._held), max(held.n_bytes for held in self._held.values())))

    monkeypatch.setattr(worker_streams._Crew, "_receive", watched)
    assert sum(len(piece) for piece in streamed(*(20 * ["long"]))) > 20 * 64 * 2**16
    assert max(n for n, _ in n_held) <= MAX_AHEAD * 2
    assert max(n_bytes for _, n_bytes in n_held) <= 2**17 + 2**16


def test_a_system_without_room_for_a_process_is_reported(monkeypatch):
    def refuse(_):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", refuse)
    with pytest.raises(BlockingIOError):
        streamed("a", "b")


def test_fewer_processes_do_the_work_of_all(monkeypatch):
    from multiprocessing.context import SpawnProcess

    start = SpawnProcess.start
    started: list[SpawnProcess] = []

    def start_one(self):
        if started:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(self)
        start(self)

    monkeypatch.setattr(SpawnProcess, "start", start_one)
    assert streamed(*"abc", n_jobs=3) == pieces_of(*"abc")
