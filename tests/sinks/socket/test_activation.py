from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamgmm.errors import ConfigError
from streamgmm.settings.output import OutputSection
from streamgmm.sinks.hub import Hub, make_sinks
from streamgmm.sinks.socket.activation import InheritedListener, take_inherited
from tests.sinks.sink_rig import HELLO, TIMEOUT_S, Client, Failures

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="UNIX sockets")


@pytest.fixture
def resources() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listen(path: Path, resources: ExitStack) -> socket.socket:
    """What a service manager does before it starts the program."""
    server = resources.enter_context(socket.socket(socket.AF_UNIX))
    server.bind(str(path))
    server.listen()
    return server


def announce(*sockets: socket.socket, names: str = "", pid: int | None = None) -> list[InheritedListener]:
    """Inherit duplicates of the sockets, as a program inherits descriptors of its own."""
    base = max([300, *(server.fileno() for server in sockets)]) + 1
    for i, server in enumerate(sockets):
        os.dup2(server.fileno(), base + i)
    environ = {"LISTEN_FDS": str(len(sockets)), "LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDNAMES": names}
    try:
        return take_inherited(environ, base)
    finally:
        assert environ == {}


def close(listeners: list[InheritedListener]) -> None:
    for listener in listeners:
        listener._server.close()


def test_E1_an_inherited_socket_serves_those_who_came_before_and_stays(tmp_path: Path, resources: ExitStack) -> None:
    server = listen(tmp_path / "s", resources)
    early = resources.enter_context(Client(f"unix://{tmp_path}/s"))
    listeners = announce(server)
    hub = Hub(make_sinks(OutputSection(sinks=[f"unix://{tmp_path}/s"]), inherited=listeners))
    hub.open(Failures())
    hub.publish(HELLO)
    assert early.read(1) == [HELLO]
    hub.close(TIMEOUT_S)
    # The same socket file, without a lock beside it; whoever connects now waits for the next start.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]
    with Client(f"unix://{tmp_path}/s"):
        pass
    close(listeners)


def test_a_socket_that_no_setting_names_is_served_too(tmp_path: Path, resources: ExitStack) -> None:
    listeners = announce(listen(tmp_path / "s", resources))
    sinks = make_sinks(OutputSection(sinks=["stdout:"]), inherited=listeners)
    assert [sink.name for sink in sinks] == [f"unix://{tmp_path}/s", "stdout:"]
    close(listeners)


def test_no_child_inherits_it_once_more(tmp_path: Path, resources: ExitStack) -> None:
    listeners = announce(listen(tmp_path / "s", resources))
    with listeners[0].open() as server:
        assert not server.get_inheritable()
    assert not listeners[0]._server.get_inheritable()
    close(listeners)


@pytest.mark.parametrize(
    "environ", [{}, {"LISTEN_FDS": "1"}, {"LISTEN_PID": "self"}, {"LISTEN_PID": "self", "LISTEN_FDS": "x"}]
)
def test_nothing_is_inherited(environ: dict[str, str]) -> None:
    given = {key: str(os.getpid()) if value == "self" else value for key, value in environ.items()}
    assert take_inherited(given) == []


def test_what_is_meant_for_another_process_is_left_alone(tmp_path: Path, resources: ExitStack) -> None:
    assert announce(listen(tmp_path / "s", resources), pid=os.getpid() + 1) == []


def test_E17_only_what_this_program_would_open_itself_is_taken(tmp_path: Path, resources: ExitStack) -> None:
    tcp = resources.enter_context(socket.create_server(("127.0.0.1", 0)))
    datagram = resources.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    datagram.bind(str(tmp_path / "d"))
    deaf = resources.enter_context(socket.socket(socket.AF_UNIX))
    deaf.bind(str(tmp_path / "x"))
    abstract = resources.enter_context(socket.socket(socket.AF_UNIX))
    abstract.bind(f"\0streamgmm-test-{os.getpid()}")
    abstract.listen()
    with pytest.raises(ConfigError) as caught:
        announce(tcp, datagram, deaf, abstract, names="web:d:x:hidden")
    problems = caught.value.problems
    assert [problem.split(":")[0] for problem in problems] == [
        f"inherited socket {n}" for n in ("web", "d", "x", "hidden")
    ]
    assert all("is not a listening UNIX stream socket" in problem for problem in problems[:3])
    assert "is abstract" in problems[3]


def test_a_descriptor_that_is_none(resources: ExitStack) -> None:
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
    with pytest.raises(ConfigError, match="inherited socket 900: Bad file descriptor"):
        take_inherited(environ, 900)
