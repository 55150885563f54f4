"""What subscribers that are stuck, hostile or in a hurry cost those who behave, and the process that serves them.

    python -m tests.system.subscribers [--brief]

Over UNIX sockets and TCP, each with 32 healthy subscribers in a process of their own:

  stuck      32 more that never read: records lost by the healthy, p99 of the latency with and without them,
             and what each of them costs in memory
  hostile    64 clients that send 100 MB of garbage each, over as many connections as it takes
  cycles     10,000 connections that come and go
"""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import os
import selectors
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from streamgmm.errors import StreamgmmError
from streamgmm.records import Dropped, Status, Window, decode_json, encode_json
from streamgmm.sinks.sink import Message
from streamgmm.sinks.socket.listeners import Listener, TcpListener
from streamgmm.sinks.socket.sockets import SocketSink
from streamgmm.sinks.socket.unix import UnixListener
from tests.sinks.sink_rig import HELLO, Client, message, n_open_fds

N_EACH = 32
RATE_HZ = 100
"""Records a second: twelve times what a hop of 0.12 s makes."""

MAX_RATIO = 2.0
MAX_STUCK_BYTES = 256 * 1024
MAX_GROWTH_BYTES = 4 * 2**20
GARBAGE_BYTES = 100_000_000
N_HOSTILE = 64
TIMEOUT_S = 60.0


class Latencies(NamedTuple):
    """What healthy subscribers saw.

    Attributes:
        n_lost: records that one of them did not get, over all of them.
        latencies_s: from publishing to reading, shape (n,), of all records of all of them.
    """

    n_lost: int
    latencies_s: np.ndarray

    @property
    def p99_s(self) -> float:
        return float(np.percentile(self.latencies_s, 99))


class Stuck(NamedTuple):
    """What clients that never read cost.

    Attributes:
        n_lost: records that the healthy lost.
        p99_ratios: p99 of their latency with the stuck by that without, of each round.
        p99s_ms: p99 with the stuck, of each round (ms).
        bytes_per_client: growth of the process for each stuck client.
    """

    n_lost: int
    p99_ratios: list[float]
    p99s_ms: list[float]
    bytes_per_client: float


class Growth(NamedTuple):
    """What a process has more than before.

    Attributes:
        n_bytes: of resident memory.
        n_fds: open descriptors.
        n_threads: threads.
        n_connections: how many connections caused it.
        sent_bytes: what clients sent.
    """

    n_bytes: int
    n_fds: int
    n_threads: int
    n_connections: int
    sent_bytes: int


def rss_bytes() -> int:
    """Resident memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@contextmanager
def serving(kind: str, **options: Any) -> Iterator[SocketSink]:
    """An open sink of that kind, `unix` or `tcp`, that has said hello; nothing may fail in it."""
    failures: list[StreamgmmError] = []
    with tempfile.TemporaryDirectory() as folder:
        listener: Listener = UnixListener(f"unix://{folder}/s") if kind == "unix" else TcpListener("tcp://127.0.0.1:0")
        sink = SocketSink(listener, max_clients=1000, **options)
        sink.open(failures.append)
        sink.publish(message(HELLO))
        yield sink
        sink.close(1.0)
    assert not failures, failures


def record(seq: int) -> Message:
    """A record of every hop, as long as one of a model with ten labels, that carries the moment of its making."""
    scores = {f"label_{i:02}": 0.09090909090909091 for i in range(11)}
    now_s = time.monotonic()
    window = Window(
        seq=seq, t=now_s, source="mic", label="label_00", score=0.0909, scores=scores, llr=-1.25, level_dbfs=-40.5
    )
    return Message(window, encode_json(window))


def listen(address: str, last_seq: int, pipe: Any) -> None:
    """In a process of their own: subscribers that read everything, and note when it came."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(address)) for _ in range(N_EACH)]
        for client in clients:
            client.read(1)
        pipe.send("ready")
        pipe.send(_listen_to_all(clients, last_seq))


def _listen_to_all(clients: list[Client], last_seq: int) -> Latencies:
    selector = selectors.DefaultSelector()
    latencies_s: list[float] = []
    n_lost = 0
    rests = dict.fromkeys(clients, b"")
    for client in clients:
        selector.register(client.connection, selectors.EVENT_READ, client)
    while rests:
        for key, _ in selector.select(TIMEOUT_S):
            received = key.fileobj.recv(65536)  # type: ignore[union-attr]
            now_s = time.monotonic()
            *lines, rests[key.data] = (rests[key.data] + received).split(b"\n")
            for heard in map(decode_json, lines):
                n_lost += heard.count if isinstance(heard, Dropped) else 0
                latencies_s.append(now_s - heard.t)
                if heard.seq >= last_seq:
                    selector.unregister(key.fileobj)
                    del rests[key.data]
    return Latencies(n_lost + last_seq * len(clients) - len(latencies_s), np.array(latencies_s))


def latencies(sink: SocketSink, n_records: int) -> Latencies:
    """Publish so many records at `RATE_HZ` to fresh healthy subscribers."""
    here, there = multiprocessing.Pipe()
    # Seqs count anew for each audience, as losses are told by them.
    process = multiprocessing.get_context("spawn").Process(target=listen, args=(sink.address, n_records, there))
    process.start()
    assert here.poll(TIMEOUT_S)
    assert here.recv() == "ready"
    begin_s = time.monotonic()
    for i_record in range(1, n_records + 1):
        time.sleep(max(0.0, begin_s + i_record / RATE_HZ - time.monotonic()))
        sink.publish(record(i_record))
    assert here.poll(TIMEOUT_S)
    heard: Latencies = here.recv()
    process.join()
    return heard


def measure_stuck(kind: str, n_records: int, n_rounds: int, *, is_hasty: bool = False) -> Stuck:
    """The latency of the healthy without and with stuck ones, in turn; if `is_hasty`, until a round is as promised.

    Another program that takes the processor away for a moment spoils a round; what the stuck cost spoils every one.
    """
    n_lost = 0
    ratios, p99s_ms, costs = [], [], []
    for _ in range(n_rounds):
        # A clock that stands still: the stuck are to stay, so that they are a burden all the time.
        with serving(kind, clock=lambda: 0.0) as sink, ExitStack() as stack:
            without = latencies(sink, n_records)
            gc.collect()
            base_bytes = rss_bytes()
            for _ in range(N_EACH):
                stack.enter_context(Client(sink.address, receive_space_bytes=4096))
            _fill(sink)
            costs.append((rss_bytes() - base_bytes) / N_EACH)
            with_stuck = latencies(sink, n_records)
            assert sink.n_clients >= N_EACH
        n_lost += without.n_lost + with_stuck.n_lost
        ratios.append(with_stuck.p99_s / without.p99_s)
        p99s_ms.append(1000.0 * with_stuck.p99_s)
        if is_hasty and ratios[-1] <= MAX_RATIO:
            break
    return Stuck(n_lost, ratios, p99s_ms, max(costs))


def _fill(sink: SocketSink) -> None:
    """So many records that everything is full: what the system holds for a client, and its queue."""
    for i_record in range(5000):
        sink.publish(record(i_record))
        if i_record % 100 == 0:
            time.sleep(0.001)  # not a wait: the other thread gets its turn


def measure_hostile(kind: str, n_clients: int, n_bytes_each: int) -> Growth:
    """Clients that send garbage as long as anybody takes it, and come again when they are cut."""
    with serving(kind) as sink, Client(sink.address) as healthy:
        healthy.read(1)
        _send_garbage(sink.address, 100_000)
        return _growth(sink, healthy, lambda: _all_send(sink.address, n_clients, n_bytes_each))


def _all_send(address: str, n_clients: int, n_bytes_each: int) -> tuple[int, int]:
    # In another process, as their buffers are not those of the sink.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_send_from_all, (address, n_clients, n_bytes_each))


def _send_from_all(address: str, n_clients: int, n_bytes_each: int) -> tuple[int, int]:
    """In a process of their own; returns the connections it took and the bytes that were sent."""
    counts: list[tuple[int, int]] = []
    threads = [
        threading.Thread(target=lambda: counts.append(_send_garbage(address, n_bytes_each))) for _ in range(n_clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    n_connections, sent_bytes = map(sum, zip(*counts, strict=True))
    return n_connections, sent_bytes


def _send_garbage(address: str, n_bytes: int) -> tuple[int, int]:
    garbage = os.urandom(1 << 18)
    n_connections = n_sent = 0
    while n_sent < n_bytes:
        n_connections += 1
        with suppress(ConnectionError), Client(address) as client:
            while n_sent < n_bytes:
                n_sent += client.connection.send(garbage)
    return n_connections, n_sent


def measure_cycles(kind: str, n_cycles: int) -> Growth:
    """Connections that come and go: some at once, some after their greeting, some in the middle of a word."""

    def cycle() -> tuple[int, int]:
        for i_cycle in range(n_cycles):
            with Client(sink.address) as client:
                if i_cycle % 3 == 0:
                    client.connection.send(b"hello?")
                if i_cycle % 8 == 0:
                    client.read(1)
        return n_cycles, 0

    with serving(kind) as sink, Client(sink.address) as healthy:
        healthy.read(1)
        for _ in range(100):
            Client(sink.address).close()
        return _growth(sink, healthy, cycle)


def _growth(sink: SocketSink, healthy: Client, act: Callable[[], tuple[int, int]]) -> Growth:
    resource_tracker.ensure_running()  # else the first process that is started has it started, with a pipe
    _settle(sink, healthy, 1)
    before = rss_bytes(), n_open_fds(), threading.active_count()
    n_connections, sent_bytes = act()
    _settle(sink, healthy, 2)
    n_bytes, n_fds, n_threads = rss_bytes() - before[0], n_open_fds() - before[1], threading.active_count() - before[2]
    return Growth(n_bytes, n_fds, n_threads, n_connections, sent_bytes)


def _settle(sink: SocketSink, healthy: Client, seq: int) -> None:
    """Until the healthy one is the only client, and has the next record."""
    sink.publish(Message(status := Status(seq=seq, t=0.0, state="ok", detail=""), encode_json(status)))
    assert healthy.read(1)[0].seq == seq
    deadline_s = time.monotonic() + TIMEOUT_S
    while sink.n_clients > 1:
        assert time.monotonic() < deadline_s, "clients that left are still served"
        time.sleep(0.01)
    gc.collect()


def main() -> int:
    """Print the figures; 1 if one is not as promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brief", action="store_true", help="some seconds instead of some minutes")
    is_brief = parser.parse_args().brief
    logging.getLogger("streamgmm").setLevel(logging.CRITICAL)
    is_well = True
    for kind in ("unix", "tcp"):
        stuck = measure_stuck(kind, 200 if is_brief else 500, 4 if is_brief else 5, is_hasty=is_brief)
        hostile = measure_hostile(kind, N_HOSTILE, GARBAGE_BYTES // (100 if is_brief else 1))
        cycles = measure_cycles(kind, 1000 if is_brief else 10_000)
        print(
            f"{kind}: stuck: healthy lost {stuck.n_lost}, p99 {median(stuck.p99s_ms):.2f} ms, "
            f"x {median(stuck.p99_ratios):.2f} of without, {stuck.bytes_per_client / 1024:.0f} KiB each\n"
            f"{kind}: hostile: {hostile.sent_bytes / 1e6:.0f} MB over {hostile.n_connections} connections, "
            f"growth {hostile.n_bytes / 2**20:.2f} MiB, {hostile.n_fds} fds, {hostile.n_threads} threads\n"
            f"{kind}: {cycles.n_connections} cycles: growth {cycles.n_bytes / 2**20:.2f} MiB, "
            f"{cycles.n_fds} fds, {cycles.n_threads} threads",
            flush=True,
        )
        ratio = min(stuck.p99_ratios) if is_brief else median(stuck.p99_ratios)
        is_well &= stuck.n_lost == 0 and ratio <= MAX_RATIO and stuck.bytes_per_client <= MAX_STUCK_BYTES
        is_well &= hostile.n_bytes <= MAX_GROWTH_BYTES and cycles.n_bytes <= MAX_GROWTH_BYTES
        is_well &= not any((hostile.n_fds, hostile.n_threads, cycles.n_fds, cycles.n_threads))
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
