"""Children of all kinds: the daemon neither waits for them nor fails with them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from streamgmm.sinks.child import link
from streamgmm.sinks.child.sink import ChildSink
from streamgmm.sinks.child.task import Task
from streamgmm.sinks.mqtt.protocol import Request
from streamgmm.sinks.mqtt.topics import Topics
from tests.sinks.sink_rig import HELLO, TIMEOUT_S, LogLines, message, no_failure, start, status

REQUEST = Request(host="h", port=1, topics=Topics("home", "pi", ""), version="1")

# Answers like a child whose broker is always there, and keeps the lines that it was handed.
HONEST = """
import sys, json
print("online", flush=True)
next(sys.stdin)
for line in sys.stdin:
    left = json.loads(line).get("greeting")
    for _ in range(left or 0):
        next(sys.stdin)
    if left is None:
        print("sent", flush=True)
        open(sys.argv[1], "a").write(line)
    print("alive\\ndone", flush=True)
"""

OpenSink = Callable[..., ChildSink]


@pytest.fixture
def open_sink() -> Iterator[OpenSink]:
    sinks: list[ChildSink] = []

    def make(script: str, *arguments: object) -> ChildSink:
        command = [sys.executable, "-c", script, *map(str, arguments)]
        sinks.append(ChildSink("mqtt://h/home", Task("mqtt", command, REQUEST)))
        sinks[-1].open(no_failure)
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close(0.0)


def test_records_are_handed_over_in_order(open_sink: OpenSink, log: LogLines, tmp_path: Path) -> None:
    sink = open_sink(HONEST, tmp_path / "lines")
    log.wait_for("sink.connected")
    sent = [message(HELLO), *(message(status(seq)) for seq in range(1, 50))]
    for each in sent:
        sink.publish(each)
    sink.close(TIMEOUT_S)
    assert (tmp_path / "lines").read_bytes() == b"".join(each.line for each in sent)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("print('offline nonsense', flush=True); input(); input()", "it speaks another protocol"),
        ("print('x' * 2_000_000, flush=True); input(); input()", "output closed"),
        ("import sys; sys.exit('no memory left')", "no memory left"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
    ],
)
def test_E43_child_that_fails_is_replaced(open_sink: OpenSink, log: LogLines, script: str, reason: str) -> None:
    open_sink(script)
    for _ in range(2):
        assert reason in log.wait_for("sink.restarting")


def test_E43_child_that_never_says_anything_is_replaced(
    open_sink: OpenSink, log: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "START_TIMEOUT_S", 0.2)
    open_sink("input(); input()")
    assert "no sign of life for 0.2 s" in log.wait_for("sink.restarting")


def test_E43_children_that_end_at_once_are_started_more_and_more_rarely(open_sink: OpenSink, log: LogLines) -> None:
    before_s = time.monotonic()
    open_sink("")
    for _ in range(4):
        log.wait_for("sink.restarting")
    assert time.monotonic() - before_s > 0.1 + 0.2 + 0.4


# Answers like a child whose broker accepts no record of the state `lost`.
REFUSING = """
import sys, json
print("online", flush=True)
next(sys.stdin)
for line in sys.stdin:
    record = json.loads(line)
    for _ in range(record.get("greeting", 0)):
        next(sys.stdin)
    is_refused = record.get("state") == "lost" or "greeting" in record
    if is_refused:
        print('refusal {"error":"not authorized","hint":"allow it"}')
    print("alive\\n" + ("refused" if is_refused else "done"), flush=True)
"""


def test_E56_records_that_the_other_side_refuses_are_counted_and_logged_once(
    open_sink: OpenSink, log: LogLines
) -> None:
    sink = open_sink(REFUSING)
    log.wait_for("sink.connected")
    for seq, state in enumerate(("lost", "ok", "lost")):
        sink.publish(message(structs.replace(status(seq), state=state)))
    assert log.wait_for("sink.") == "sink.refused sink=mqtt://h/home reason=not authorized (allow it)"
    sink.close(TIMEOUT_S)
    assert log.wait_for("sink.").endswith("sent=1 failed=2 dropped=0 left=0")


def test_child_that_takes_nothing_holds_up_neither_records_nor_the_end(open_sink: OpenSink) -> None:
    silent = "import time\nprint('online', flush=True)\nwhile True: print('alive', flush=True); time.sleep(0.1)"
    sink = open_sink(silent)
    before_s = time.monotonic()
    for seq in range(20_000):
        sink.publish(message(start(seq, f"e{seq}")))
    sink.close(0.1)
    assert time.monotonic() - before_s < 5.0
    assert not [thread for thread in threading.enumerate() if "mqtt://h/home" in thread.name]
