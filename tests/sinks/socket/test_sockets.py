from __future__ import annotations

import queue
import resource
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from streamgmm.errors import SystemResourceError
from streamgmm.records import Dropped, Error, Hello, Start, decode_json
from streamgmm.sinks.socket.listeners import Listener, TcpListener
from streamgmm.sinks.socket.sockets import ADDRESS_LOOK_S, SocketSink
from streamgmm.sinks.socket.unix import UnixListener
from tests.sinks.sink_rig import (
    HELLO,
    TIMEOUT_S,
    Client,
    Failures,
    FakeClock,
    LogLines,
    account,
    end,
    message,
    n_open_fds,
    start,
    status,
)

OpenSink = Callable[..., SocketSink]


def publish(sink: SocketSink, seqs: range) -> None:
    for seq in seqs:
        sink.publish(message(status(seq)))


def join(sink: SocketSink, receive_space_bytes: int | None = None) -> Client:
    """A client that has its greeting, so every later record is for it."""
    client = Client(sink.address, receive_space_bytes)
    assert isinstance(client.read(1)[0], Hello)
    return client


def reset(client: Client) -> None:
    client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@contextmanager
def no_free_descriptor(n_free: int = 0) -> Iterator[None]:
    """Lets the process open `n_free` descriptors more."""
    with ExitStack() as stack:
        limit = [stack.enter_context(socket.socket()).fileno() for _ in range(n_free + 1)][-1]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_latecomer_gets_hello_and_open_events_and_then_each_record_once(open_sink: OpenSink) -> None:
    sink = open_sink()
    for record in (HELLO, start(1), end(2), start(3, "e2")):
        sink.publish(message(record))
    with Client(sink.address) as client:
        greeting = client.read(2)
        publish(sink, range(4, 6))
        records = greeting + client.read(2)
    assert [record.seq for record in records] == [0, 3, 4, 5]
    assert isinstance(records[1], Start)


def test_clients_that_come_while_records_flow_miss_nothing_and_get_nothing_twice(open_sink: OpenSink) -> None:
    sink = open_sink(max_records=10_000)
    sink.publish(message(HELLO))
    publisher = threading.Thread(target=publish, args=(sink, range(1, 1000)))
    publisher.start()
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(sink.address)) for _ in range(10)]
        publisher.join(TIMEOUT_S)
        for client in clients:
            greeting = client.read(2)
            # The greeting is hello and the last status, unless the client came before the first status.
            later = [record.seq for record in client.read_until(999)] if greeting[-1].seq < 999 else []
            seqs = [record.seq for record in greeting] + later
            assert seqs == [0, *range(seqs[1], 1000)]


def test_E7_one_too_many_is_told_so(open_sink: OpenSink, log: LogLines) -> None:
    sink = open_sink(max_clients=2)
    sink.publish(message(HELLO))
    with join(sink) as first, join(sink) as second:
        with Client(sink.address) as third:
            error = decode_json(third.read_to_end())
        assert isinstance(error, Error)
        assert "too many" in error.message
        assert sink.n_rejected == 1
        second.close()
        log.wait_for("client.closed")
        with join(sink) as fourth:
            publish(sink, range(1, 2))
            assert [client.read(1)[0].seq for client in (first, fourth)] == [1, 1]


def test_E7_out_of_descriptors_the_client_is_told_and_the_listener_lives(open_sink: OpenSink) -> None:
    sink = open_sink()
    sink.publish(message(HELLO))
    with Client(sink.address, is_connected=False) as refused:
        with no_free_descriptor():
            refused.connect()
            answer = refused.read_to_end()
        assert isinstance(decode_json(answer), Error)
    with join(sink) as client:
        publish(sink, range(1, 2))
        assert client.read(1)[0].seq == 1


def test_E8_healthy_clients_lose_nothing_and_stuck_ones_are_told_what_they_missed(open_sink: OpenSink) -> None:
    n_rounds, n_per_round, n_each = 12, 500, 8
    n_records = 1 + n_rounds * n_per_round
    sink = open_sink(clock=FakeClock())
    sink.publish(message(HELLO))
    with ExitStack() as stack:
        healthy = [stack.enter_context(join(sink)) for _ in range(n_each)]
        stuck = [stack.enter_context(join(sink, receive_space_bytes=4096)) for _ in range(n_each)]
        for first_seq in range(1, n_records, n_per_round):
            publish(sink, range(first_seq, first_seq + n_per_round))
            for client in healthy:
                seqs = [record.seq for record in client.read(n_per_round)]
                assert seqs == list(range(first_seq, first_seq + n_per_round))
        for client in stuck:
            records = client.read_until(n_records - 1)
            assert any(isinstance(record, Dropped) for record in records)
            assert account(records, first_seq=1) == n_records


def test_E9_client_that_never_reads_is_cut_after_ten_seconds(open_sink: OpenSink, log: LogLines) -> None:
    clock = FakeClock()
    sink = open_sink(clock=clock, max_records=64)
    sink.publish(message(HELLO))
    with join(sink) as healthy, join(sink, receive_space_bytes=4096):
        is_cut = False
        for seq in range(1, 20_001):
            sink.publish(message(status(seq)))
            assert healthy.read(1)[0].seq == seq
            if seq > 3000 and seq % 100 == 0:
                # By now the system takes nothing more for it; each term without progress is the last.
                clock.now_s += 10.0
                with suppress(queue.Empty):
                    log.wait_for("client.closed", "reason=slow", timeout_s=0.0)
                    is_cut = True
                    break
        assert is_cut
        assert sink.n_clients == 1


def test_E10_reset_in_the_middle_of_a_line_harms_nobody(open_sink: OpenSink, log: LogLines) -> None:
    sink = open_sink()
    sink.publish(message(HELLO))
    with join(sink) as healthy:
        for seq in range(1, 11):
            leaver = join(sink)
            sink.publish(message(status(seq, detail="x" * 1000)))
            assert leaver.connection.recv(10)
            reset(leaver)
            log.wait_for("client.closed")
        assert [record.seq for record in healthy.read(10)] == list(range(1, 11))
    assert sink.n_closed["reset"] + sink.n_closed["eof"] >= 10


def test_E13_endless_input_is_cut_and_a_word_is_forgiven(open_sink: OpenSink, log: LogLines) -> None:
    sink = open_sink()
    sink.publish(message(HELLO))
    with join(sink) as polite, join(sink) as hostile:
        polite.connection.send(b"hello?\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            hostile.connection.sendall(bytes(1 << 26))
        log.wait_for("client.closed", "reason=protocol")
        publish(sink, range(1, 2))
        assert polite.read(1)[0].seq == 1


def test_E14_idle_clients_may_stay(open_sink: OpenSink) -> None:
    clock = FakeClock()
    sink = open_sink(clock=clock)
    sink.publish(message(HELLO))
    with join(sink) as client:
        clock.now_s += 1e6
        publish(sink, range(1, 2))
        assert client.read(1)[0].seq == 1


def test_E15_storm_of_connections_costs_the_healthy_nothing(open_sink: OpenSink) -> None:
    sink = open_sink(max_clients=4, max_records=10_000)
    sink.publish(message(HELLO))
    with join(sink) as healthy:
        for seq in range(1, 1001):
            Client(sink.address).close()
            sink.publish(message(status(seq)))
        assert [record.seq for record in healthy.read(1000)] == list(range(1, 1001))


def greeting_sink(path: Path, clock: FakeClock, failures: Failures) -> SocketSink:
    """An open sink at `path` that has said hello."""
    sink = SocketSink(UnixListener(f"unix://{path}"), clock=clock)
    sink.open(failures)
    sink.publish(message(HELLO))
    return sink


def test_E6_a_socket_that_was_removed_is_bound_again_and_those_who_are_there_stay(
    tmp_path: Path, failures: Failures, log: LogLines
) -> None:
    clock, path = FakeClock(), tmp_path / "s"
    sink = greeting_sink(path, clock, failures)
    with join(sink) as early:
        path.unlink()
        publish(sink, range(1, 2))
        assert early.read(1)[0].seq == 1
        assert not path.exists()
        clock.now_s += ADDRESS_LOOK_S
        publish(sink, range(2, 3))
        log.wait_for("sink.recovered", str(path))
        with join(sink) as late:
            publish(sink, range(3, 4))
            assert [record.seq for record in early.read(2)] == [2, 3]
            assert late.read_until(3)[-1].seq == 3
    sink.close(TIMEOUT_S)
    assert not path.exists()
    assert failures.is_empty


def test_E6_a_place_that_another_program_took_is_tried_again_and_complained_of_once(
    tmp_path: Path, failures: Failures, log: LogLines
) -> None:
    clock, path = FakeClock(), tmp_path / "s"
    sink = greeting_sink(path, clock, failures)
    with join(sink) as early:
        path.unlink()
        path.write_text("in the way")
        for seq in range(1, 4):
            clock.now_s += ADDRESS_LOOK_S
            publish(sink, range(seq, seq + 1))
            assert early.read(1)[0].seq == seq
        log.wait_for("sink.failed", "not a socket")
        path.unlink()
        clock.now_s += ADDRESS_LOOK_S
        publish(sink, range(4, 5))
        assert log.wait_for("sink.").startswith("sink.recovered")
        with join(sink):
            assert early.read(1)[0].seq == 4
    sink.close(TIMEOUT_S)


def test_close_sends_what_waits(open_sink: OpenSink) -> None:
    sink = open_sink()
    sink.publish(message(HELLO))
    with join(sink) as client:
        publish(sink, range(1, 101))
        sink.close(TIMEOUT_S)
        assert account(map(decode_json, client.read_to_end().splitlines()), first_seq=1) == 101
    assert sink.n_closed == {"shutdown": 1}


def test_close_does_not_wait_for_stuck_clients(open_sink: OpenSink) -> None:
    sink = open_sink(clock=FakeClock())
    sink.publish(message(HELLO))
    with join(sink, receive_space_bytes=4096):
        publish(sink, range(1, 20_000))
        sink.close(0.01)
    assert sink.n_closed == {"shutdown": 1}


def test_nothing_is_left_behind(listener: Listener, failures: Failures) -> None:
    n_fds, n_threads = n_open_fds(), threading.active_count()
    for _ in range(20):
        sink = SocketSink(listener)
        sink.open(failures)
        sink.publish(message(HELLO))
        with join(sink), join(sink):
            sink.close(TIMEOUT_S)
        with Client(sink.address, is_connected=False) as late, pytest.raises(OSError, match=r"refused|No such file"):
            late.connect()
    assert n_open_fds() == n_fds
    assert threading.active_count() == n_threads


def test_F17_out_of_descriptors_at_start(failures: Failures) -> None:
    n_fds = n_open_fds()
    sink = SocketSink(TcpListener("tcp://127.0.0.1:0"))
    with no_free_descriptor(n_free=1), pytest.raises(SystemResourceError) as caught:
        # Enough for the listening socket, but not for the rest.
        sink.open(failures)
    assert caught.value.exit_code == 71
    assert n_open_fds() == n_fds
    sink.close(0.0)
