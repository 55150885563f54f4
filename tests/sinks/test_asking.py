"""Asking for the status of every source of a daemon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from streamgmm.errors import NotRunningError
from streamgmm.records import Hello, Record, Status
from streamgmm.sinks.asking import SourceStatus, ask_status
from streamgmm.sinks.hub import Hub
from streamgmm.sinks.socket.sockets import SocketSink
from streamgmm.sinks.socket.unix import UnixListener
from tests.sinks.sink_rig import HELLO, TIMEOUT_S, no_failure, start, status

NAMES = ["kitchen", "yard"]


def of(source: str, record: Record) -> Record:
    return structs.replace(record, source=source)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub([SocketSink(UnixListener(f"unix://{tmp_path}/s"))])
    hub.greet_with(lambda: [structs.replace(status(0, f"{name} now"), source=name) for name in NAMES])
    hub.open(no_failure)
    yield hub
    hub.close(TIMEOUT_S)


def hello_of(name: str) -> Hello:
    return structs.replace(HELLO, source=name, sources=NAMES)


def details(answers: list[SourceStatus]) -> list[tuple[str, str, str]]:
    return [(hello.source, answer.source, answer.detail) for hello, answer in answers]


@pytest.mark.parametrize("others", [[], [status(0), start(0)]])
def test_every_source_answers_with_its_own_hello(hub: Hub, tmp_path: Path, others: list[Status]) -> None:
    for name in NAMES:
        hub.publish(hello_of(name))
    for record in others:
        hub.publish(of("yard", record))
    answers = ask_status(f"unix://{tmp_path}/s", TIMEOUT_S)
    assert details(answers) == [(name, name, f"{name} now") for name in NAMES]


def test_a_source_that_has_not_published_yet_is_waited_for(hub: Hub, tmp_path: Path) -> None:
    hub.publish(hello_of("kitchen"))
    answers: list[list[SourceStatus]] = []
    asking = threading.Thread(target=lambda: answers.append(ask_status(f"unix://{tmp_path}/s", TIMEOUT_S)))
    asking.start()
    wait_for(lambda: hub.n_clients == 1)
    hub.publish(hello_of("yard"))
    hub.publish(of("yard", status(0, "yard then")))
    asking.join()
    assert details(answers[0]) == [("kitchen", "kitchen", "kitchen now"), ("yard", "yard", "yard then")]


def test_a_source_that_never_publishes_is_given_up_in_time(hub: Hub, tmp_path: Path) -> None:
    hub.publish(hello_of("kitchen"))
    with pytest.raises(NotRunningError, match="no answer in time"):
        ask_status(f"unix://{tmp_path}/s", 0.1)


def wait_for(condition: Callable[[], bool]) -> None:
    waiting = threading.Event()
    while not condition():
        waiting.wait(0.01)
