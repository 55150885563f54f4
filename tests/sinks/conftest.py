from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamgmm.sinks.socket.listeners import Listener, TcpListener
from streamgmm.sinks.socket.sockets import SocketSink
from streamgmm.sinks.socket.unix import UnixListener
from tests.sinks.sink_rig import Failures, LogLines, log_of


@pytest.fixture
def log() -> Iterator[LogLines]:
    with log_of("sinks") as lines:
        yield lines


@pytest.fixture
def failures() -> Failures:
    return Failures()


@pytest.fixture(params=["unix", "tcp"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Listener:
    return TcpListener("tcp://127.0.0.1:0") if request.param == "tcp" else UnixListener(f"unix://{tmp_path}/s")


@pytest.fixture
def open_sink(listener: Listener, failures: Failures) -> Iterator[Callable[..., SocketSink]]:
    """Makes and opens a socket sink; no failure of it may be left unread."""
    sinks: list[SocketSink] = []

    def make(**options: object) -> SocketSink:
        sink = SocketSink(listener, **options)  # type: ignore[arg-type]
        sink.open(failures)
        sinks.append(sink)
        return sink

    yield make
    for sink in sinks:
        sink.close(0.0)
    assert failures.is_empty
