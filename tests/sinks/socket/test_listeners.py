from __future__ import annotations

import errno
import socket

import pytest

from streamgmm.errors import CannotCreateError, ConfigError, PermissionDeniedError
from streamgmm.sinks.socket.listeners import TCP_OPTIONS, TcpListener, bind_error


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3", "[::1]"])
def test_loopback_with_a_port_that_the_system_chooses(host: str) -> None:
    listener = TcpListener(f"tcp://{host}:0")
    try:
        server = listener.open()
    except CannotCreateError:
        pytest.skip(f"this machine has no {host}")
    with server:
        port = server.getsockname()[1]
        assert port > 0
        assert listener.address == f"tcp://{host.replace('localhost', '127.0.0.1')}:{port}"


def test_port_can_be_had_again_at_once() -> None:
    listener = TcpListener("tcp://127.0.0.1:0")
    with listener.open() as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            # Closed first by the server, the connection stays in TIME_WAIT.
            server.accept()[0].close()
    TcpListener(f"tcp://127.0.0.1:{port}").open().close()


def test_E16_port_in_use_is_told_with_address_and_errno() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        uri = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(CannotCreateError, match=rf"{uri}: .*errno {errno.EADDRINUSE}") as caught:
            TcpListener(uri).open()
    assert caught.value.exit_code == 73


def test_port_of_root_is_a_matter_of_permission() -> None:
    error = bind_error(PermissionError(errno.EACCES, "x"), "tcp://127.0.0.1:80")
    assert isinstance(error, PermissionDeniedError)
    assert str(error) == "tcp://127.0.0.1:80: cannot listen: Permission denied"


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.168.1.2", "example.org", "[::ffff:127.0.0.1]", "127.0.0.1.x"])
def test_E17_address_that_can_be_reached_from_outside_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="reached from outside") as caught:
        TcpListener(f"tcp://{host}:7878")
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    "rest", ["", "127.0.0.1", "127.0.0.1:", ":7878", "127.0.0.1:x", "127.0.0.1:65536", "a@127.0.0.1:1", "127.0.0.1:1/x"]
)
def test_uri_of_another_form_is_refused(rest: str) -> None:
    with pytest.raises(ConfigError, match="tcp://HOST:PORT"):
        TcpListener(f"tcp://{rest}")


def test_E11_connections_notice_a_peer_that_vanished_and_lines_leave_at_once() -> None:
    listener = TcpListener("tcp://127.0.0.1:0")
    with listener.open() as server, socket.create_connection(server.getsockname()) as client:
        connection, _ = server.accept()
        with connection:
            assert listener.peer_of(connection) == "{}:{}".format(*client.getsockname())
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
            for name, value in TCP_OPTIONS.items():
                assert connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value
