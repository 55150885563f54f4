"""Subscribers that close their sending half and listen on, in all the ways that real clients do, and their end."""

from __future__ import annotations

import contextlib
import io
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamgmm.records import Error, Hello, decode_json
from streamgmm.sinks.socket.hangups import is_abandoned
from streamgmm.sinks.socket.lobby import STATUS_REQUEST
from streamgmm.sinks.socket.sockets import ADDRESS_LOOK_S, SocketSink
from streamgmm.sinks.socket.subscriber import MAX_INPUT_BYTES, MUTE_DOUBT_S
from streamgmm.sinks.socket.token import Token
from tests.narrowing import of_type, present
from tests.required import require_or_skip
from tests.sinks.sink_rig import HELLO, TIMEOUT_S, Client, FakeClock, LogLines, Reader, account, message, status

OpenSink = Callable[..., SocketSink]
N_RECORDS = 50
SECRET = b"0123456789abcdef" * 4


def publish(sink: SocketSink, seqs: range) -> None:
    for seq in seqs:
        sink.publish(message(status(seq)))


# Programs


NODE = """
const where = process.argv[1] === 'unix' ? {path: process.argv[2]} : {host: process.argv[2], port: process.argv[3]};
const client = require('net').connect({allowHalfOpen: true, ...where});
client.pipe(process.stdout);
client.end();
"""
PYTHON = """
import socket, sys
kind, *where = sys.argv[1:]
client = socket.create_connection(where) if kind == "tcp" else socket.socket(socket.AF_UNIX)
kind == "tcp" or client.connect(*where)
client.shutdown(socket.SHUT_WR)
while received := client.recv(65536):
    sys.stdout.buffer.write(received)
    sys.stdout.flush()
"""


def target(address: str) -> list[str]:
    kind, _, rest = address.partition("://")
    return [kind, *(rest.rsplit(":", 1) if kind == "tcp" else [rest])]


PROGRAMS: dict[str, Callable[[str, list[str]], list[str]]] = {
    "nc.openbsd": lambda kind, where: ["nc.openbsd", "-N", *(["-U"] if kind == "unix" else []), *where],
    "ncat": lambda kind, where: ["ncat", *(["-U"] if kind == "unix" else []), *where],
    "socat": lambda kind, where: [
        "socat", "-t", "60", "STDIO", ("UNIX-CONNECT:" if kind == "unix" else "TCP:") + ":".join(where)
    ],
    "node": lambda kind, where: ["node", "-e", NODE, kind, *where],
    "python3": lambda kind, where: ["python3", "-c", PYTHON, kind, *where],
}  # fmt: skip


@contextlib.contextmanager
def program(name: str, address: str, given: bytes = b"") -> Iterator[Reader]:
    """A real client whose input ends after `given`; what it prints can be read."""
    if shutil.which(name) is None:
        require_or_skip("programs", f"{name} is not installed")
    kind, *where = target(address)
    command = PROGRAMS[name](kind, where)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    stdin, stdout = present(process.stdin), of_type(process.stdout, io.BufferedReader)
    stdin.write(given)
    stdin.close()
    watchdog = threading.Timer(3 * TIMEOUT_S, process.kill)
    watchdog.start()
    try:
        yield Reader(stdout.read1)
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        stdout.close()


@pytest.mark.parametrize("name", PROGRAMS)
def test_E29_a_program_whose_input_has_ended_goes_on_receiving_and_its_end_frees_the_place(
    open_sink: OpenSink, log: LogLines, name: str
) -> None:
    sink = open_sink()
    sink.publish(message(HELLO))
    with program(name, sink.address) as reader:
        assert isinstance(reader.read(1)[0], Hello)
        for seq in range(1, N_RECORDS):
            publish(sink, range(seq, seq + 1))
            assert [record.seq for record in reader.read(1)] == [seq]
        assert sink.n_clients == 1
    # Nothing is sent: a quiet room.
    log.wait_for("client.closed")
    assert sink.n_clients == 0


@pytest.mark.parametrize("name", ["nc.openbsd", "ncat", "socat"])
@pytest.mark.parametrize("given", [SECRET + b"\n", SECRET, SECRET + b"\r\n"], ids=["line", "no newline", "CRLF"])
def test_a_token_from_a_file_is_enough(name: str, given: bytes) -> None:
    from streamgmm.sinks.socket.listeners import TcpListener

    sink = SocketSink(TcpListener("tcp://127.0.0.1:0"), token=Token(SECRET))
    sink.open(lambda error: None)
    with contextlib.closing(contextlib.ExitStack()) as stack:
        stack.callback(sink.close, 0.0)
        sink.publish(message(HELLO))
        reader = stack.enter_context(program(name, sink.address, given))
        assert isinstance(reader.read(1)[0], Hello)
        publish(sink, range(1, 3))
        assert [record.seq for record in reader.read(2)] == [1, 2]


# Sockets


def mute(sink: SocketSink) -> Client:
    """A client that has its greeting and has closed its sending half."""
    client = Client(sink.address)
    assert isinstance(client.read(1)[0], Hello)
    client.connection.shutdown(socket.SHUT_WR)
    return client


def reset(client: Client) -> None:
    client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def say_a_little(client: Client) -> None:
    client.connection.sendall(b"GET / HTTP/1.0\r\n\r\n")


@pytest.mark.parametrize("before", [lambda client: None, say_a_little], ids=["says nothing", "says a little"])
def test_one_that_closes_its_sending_half_at_once_misses_nothing(
    open_sink: OpenSink, before: Callable[[Client], None]
) -> None:
    sink = open_sink()
    sink.publish(message(HELLO))
    with Client(sink.address) as client:
        before(client)
        client.connection.shutdown(socket.SHUT_WR)
        assert isinstance(client.read(1)[0], Hello)
        publish(sink, range(1, 1000))
        assert account(client.read_until(999), first_seq=1) == 1000


def test_one_that_only_listens_costs_no_time(open_sink: OpenSink) -> None:
    """The thread that serves sleeps, although such a connection is readable without end."""
    sink = open_sink()
    sink.publish(message(HELLO))
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(mute(sink))
        turns: list[float] = []
        patience_s = sink._patience_s
        sink._patience_s = lambda: turns.append(0.0) or patience_s()  # type: ignore[method-assign, func-returns-value]
        publish(sink, range(1, 11))
        threading.Event().wait(0.3)
        assert len(turns) < 50


ENDS: dict[str, Callable[[Client], None]] = {
    "closes": lambda client: None,
    "closes the other half too": lambda client: client.connection.shutdown(socket.SHUT_RD),
    "resets": reset,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("n_published", [0, 3])
def test_one_that_listened_on_and_goes_frees_its_place_although_nothing_is_said(
    open_sink: OpenSink, log: LogLines, end: Callable[[Client], None], n_published: int
) -> None:
    clock = FakeClock()
    sink = open_sink(clock=clock)
    sink.publish(message(HELLO))
    client = mute(sink)
    publish(sink, range(1, 1 + n_published))
    client.read(n_published)
    end(client)
    client.close()
    clock.now_s += 2 * ADDRESS_LOOK_S
    sink._wake_up.ring()
    log.wait_for("client.closed")
    assert sink.n_clients == 0


def test_one_of_two_that_goes_is_told_from_the_other(open_sink: OpenSink, log: LogLines) -> None:
    sink = open_sink()
    sink.publish(message(HELLO))
    with mute(sink) as stays:
        mute(sink).close()
        publish(sink, range(1, 2))
        log.wait_for("client.closed")
        publish(sink, range(2, 100))
        assert account(stays.read_until(99), first_seq=1) == 100
        assert sink.n_clients == 1


def test_too_much_input_is_cut_whether_or_not_it_ends(open_sink: OpenSink, log: LogLines) -> None:
    sink = open_sink()
    sink.publish(message(HELLO))
    with Client(sink.address) as client:
        with contextlib.suppress(OSError):
            client.connection.sendall(b"x" * (4 * MAX_INPUT_BYTES))
            client.connection.shutdown(socket.SHUT_WR)
        log.wait_for("client.closed", "reason=protocol")


def test_only_a_tcp_client_that_fell_mute_lately_gives_way_to_another(tmp_path: Path) -> None:
    from streamgmm.sinks.queue import RecordQueue
    from streamgmm.sinks.socket.subscriber import Subscriber

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as far:
        near = server.accept()[0]
        unix_near, unix_far = socket.socketpair()
        with near, unix_near, unix_far:
            for end in (far, unix_far):
                end.shutdown(socket.SHUT_WR)
            tcp = Subscriber(near, "", b"", RecordQueue(16))
            unix = Subscriber(unix_near, "", b"", RecordQueue(16))
            near.settimeout(TIMEOUT_S)  # for its end to arrive
            assert [tcp.receive(100.0), unix.receive(100.0)] == [None, None]
            assert tcp.is_mute
            assert unix.is_mute
            assert [tcp.may_be_gone(100.0), tcp.may_be_gone(100.0 + MUTE_DOUBT_S)] == [True, False]
            assert not unix.may_be_gone(100.0)


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_tcp_end_that_no_process_holds_is_told_from_one_that_is_half_closed(
    family: socket.AddressFamily, host: str
) -> None:
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"no {host} here")
    with server:
        far = socket.create_connection(server.getsockname()[:2])
        near = server.accept()[0]
        with near:
            assert not is_abandoned(near)
            far.shutdown(socket.SHUT_WR)
            assert near.recv(1) == b""
            assert not is_abandoned(near)
            far.close()
            assert is_abandoned(near)
    here, there = socket.socketpair()
    with here, there:
        assert not is_abandoned(here)


def test_a_client_of_both_protocols_is_found_in_the_table(tmp_path: Path) -> None:
    """As those of Java and Go are: an IPv4 connection through a socket of IPv6."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        far = socket.socket(socket.AF_INET6)
        try:
            far.connect((f"::ffff:{server.getsockname()[0]}", server.getsockname()[1]))
        except OSError:
            pytest.skip("no IPv6 here")
        with server.accept()[0] as near:
            far.shutdown(socket.SHUT_WR)
            assert not is_abandoned(near)
            far.close()
            assert is_abandoned(near)


# A place for the question how it stands


@pytest.mark.parametrize("parts", [[STATUS_REQUEST], [b"sta", b"tus\n"]], ids=["at once", "in two parts"])
def test_E30_one_that_asks_for_the_status_is_answered_although_every_place_is_taken(
    open_sink: OpenSink, parts: list[bytes]
) -> None:
    sink = open_sink(max_clients=2)
    for record in (HELLO, status(1, "all is well")):
        sink.publish(message(record))
    with Client(sink.address), Client(sink.address), Client(sink.address) as third:
        for part in parts:
            third.connection.sendall(part)
        lines = third.read_to_end().splitlines()
    assert [decode_json(line).seq for line in lines] == [0, 1]
    assert sink.n_rejected == 0


@pytest.mark.parametrize("said", [b"", b"x", b"statue\n", b"STATUS\n", b"\n", b"hello status\n"])
def test_others_are_refused_as_before(open_sink: OpenSink, said: bytes) -> None:
    sink = open_sink(max_clients=1)
    sink.publish(message(HELLO))
    with Client(sink.address) as first, Client(sink.address) as second:
        first.read(1)
        second.connection.sendall(said)
        second.connection.shutdown(socket.SHUT_WR)
        assert isinstance(decode_json(second.read_to_end()), Error)
        publish(sink, range(1, 2))
        assert first.read(1)[0].seq == 1
