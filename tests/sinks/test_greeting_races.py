"""Records that are published while a sink collects the statuses for a greeting are not lost to the newcomer."""

from __future__ import annotations

import sys
from pathlib import Path

from msgspec import structs

from streamgmm.records import Status, decode_json
from streamgmm.sinks.child.sink import ChildSink
from streamgmm.sinks.child.task import Task
from streamgmm.sinks.mqtt.protocol import Request
from streamgmm.sinks.mqtt.topics import Topics
from streamgmm.sinks.sink import Sink
from streamgmm.sinks.socket.listeners import TcpListener
from streamgmm.sinks.socket.lobby import STATUS_REQUEST
from streamgmm.sinks.socket.sockets import SocketSink
from tests.sinks.sink_rig import HELLO, TIMEOUT_S, Client, LogLines, message, no_failure, status

LOST = structs.replace(status(2, "unplugged"), state="lost")
YARD = structs.replace(HELLO, source="yard", seq=3)
EXPECTED = [(0, "mic", "Hello"), (2, "mic", "Status"), (3, "yard", "Hello")]


def let_race(sink: Sink) -> None:
    """Publish records while the sink collects its first statuses, which are older."""
    meanwhile = [LOST, YARD]

    def snapshot() -> list[Status]:
        collected = [status(0, "audio flows")]
        while meanwhile:
            sink.publish(message(meanwhile.pop(0)))
        return collected

    sink.snapshot = snapshot


def begin(sink: Sink) -> None:
    sink.publish(message(HELLO))
    sink.publish(message(status(1, "audio flows")))


def described(lines: list[bytes]) -> list[tuple[int, str, str]]:
    return [(record.seq, record.source, type(record).__name__) for record in map(decode_json, lines)]


def test_subscriber_learns_of_what_was_published_meanwhile() -> None:
    sink = SocketSink(TcpListener("tcp://127.0.0.1:0"))
    let_race(sink)
    sink.open(no_failure)
    begin(sink)
    with Client(sink.address) as client:
        lines = client.read_lines(3)
    sink.close(TIMEOUT_S)
    assert described(lines) == EXPECTED
    assert b"unplugged" in lines[1]


def test_client_that_only_asks_for_the_status_learns_of_it_too() -> None:
    sink = SocketSink(TcpListener("tcp://127.0.0.1:0"), max_clients=0)
    let_race(sink)
    sink.open(no_failure)
    begin(sink)
    with Client(sink.address) as client:
        client.connection.sendall(STATUS_REQUEST)
        lines = client.read_to_end().splitlines()
    sink.close(TIMEOUT_S)
    assert described(lines) == EXPECTED
    assert b"unplugged" in lines[1]


# Is there at once, and keeps the lines of the greeting.
CHILD = """
import sys, json
next(sys.stdin)
print("online", flush=True)
n_lines = json.loads(next(sys.stdin))["greeting"]
greeting = [next(sys.stdin) for _ in range(n_lines)]
open(sys.argv[1], "w").writelines(greeting)
print("alive\\ndone", flush=True)
for line in sys.stdin:
    print("alive\\nsent\\ndone", flush=True)
"""


def test_child_learns_of_what_was_published_meanwhile(tmp_path: Path, log: LogLines) -> None:
    path = tmp_path / "greeting"
    request = Request(host="h", port=1, topics=Topics("home", "pi", ""), version="1")
    sink = ChildSink("mqtt://h/home", Task("mqtt", [sys.executable, "-c", CHILD, str(path)], request))
    let_race(sink)
    # Before there is a child, which is greeted as soon as it is there.
    begin(sink)
    sink.open(no_failure)
    log.wait_for("sink.connected")
    sink.close(TIMEOUT_S)
    lines = path.read_bytes().splitlines()
    assert described(lines) == EXPECTED
    assert b"unplugged" in lines[1]
