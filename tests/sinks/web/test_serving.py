"""The web sink with its real child: what it answers, whom it refuses, and what happens if it dies or hangs."""

from __future__ import annotations

import base64
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from streamgmm.errors import CannotCreateError
from streamgmm.records import Gap
from streamgmm.settings.output import OutputSection, SinkSection
from streamgmm.sinks.registry import SinkPlan, find_kind_of
from streamgmm.sinks.socket.token import Token
from streamgmm.sinks.web.app import FILES
from streamgmm.sinks.web.guard import HEADERS
from tests.narrowing import present
from tests.sinks.sink_rig import HELLO, LogLines, end, n_open_fds, no_failure, start, status
from tests.system.run_rig import wait_until
from tests.web_rig import Served, Stream, connect

TOKEN = "0123456789abcdef0123456789abcdef"

JSON_TYPE = "application/json"


Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Opens a sink with these options."""
    served: list[Served] = []

    def make(**options: object) -> Served:
        served.append(Served(**options))
        return served[-1]

    yield make
    for each in served:
        each.sink.close(1.0)


@pytest.fixture(scope="module")
def quiet() -> Iterator[Served]:
    """An open sink that gets no records, for tests that only ask."""
    served = Served(hosts=["pi.local"])
    yield served
    served.sink.close(1.0)


@pytest.fixture(scope="module")
def guarded() -> Iterator[Served]:
    """The same with a token."""
    served = Served(token=Token(TOKEN.encode()))
    yield served
    served.sink.close(1.0)


def test_state_shows_sources_and_open_events(serve: Serve) -> None:
    served = serve()
    served.publish(HELLO, status(1, "audio flows"), start(2), start(3, "e2", "kettle"), end(4))
    served.wait_for_seq(4)
    answer = served.ask("/v1/state")
    assert answer.headers["content-type"] == JSON_TYPE
    (source,) = answer.json["sources"]
    assert (source["name"], source["state"], source["detail"]) == ("mic", "ok", "audio flows")
    assert [event["id"] for event in source["open_events"]] == ["e2"]


def test_events_since_a_number(serve: Serve) -> None:
    served = serve()
    served.publish(HELLO, status(1), start(2), end(3))
    served.wait_for_seq(3)
    assert [event["type"] for event in served.ask("/v1/events").json["events"]] == ["hello", "start", "end"]
    answer = served.ask("/v1/events?since=2").json
    assert (answer["last_seq"], answer["is_complete"]) == (3, True)
    assert [event["seq"] for event in answer["events"]] == [3]


@pytest.mark.parametrize("since", ["x", "", "1.5", "9" * 5000, "%F0%9F%94%94", "--1", "%D9%A3"])
def test_number_that_is_none_is_refused(quiet: Served, since: str) -> None:
    answer = quiet.ask(f"/v1/events?since={since}")
    assert (answer.code, answer.text) == (400, "since is the seq of a record, e.g. 120; -1 for all\n")


def test_health_and_readiness(serve: Serve) -> None:
    served = serve()
    assert served.ask("/healthz").code == 200
    assert served.ask("/readyz").code == 503
    served.publish(HELLO, status(1))
    served.wait_for_seq(1)
    assert (served.ask("/readyz").code, served.ask("/readyz").text) == (200, "ready\n")
    served.publish(structs.replace(status(2), state="lost"))
    served.wait_for_seq(2)
    assert (served.ask("/readyz").code, served.ask("/readyz").text) == (503, "mic: lost\n")


def test_metrics_count_events_and_show_states(serve: Serve) -> None:
    served = serve()
    served.publish(HELLO, status(1), start(2), end(3), start(4, "e2"))
    served.wait_for_seq(4)
    answer = served.ask("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'streamgmm_events_total{label="door",source="mic"} 2.0' in lines
    assert 'streamgmm_event_delay_seconds_bucket{label="door",le="0.5",source="mic"} 2.0' in lines
    assert 'streamgmm_source_state{source="mic",state="ok"} 1.0' in lines
    assert 'streamgmm_open_events{label="door",source="mic"} 1.0' in lines


def test_stream_begins_with_the_state_and_continues_with_records(serve: Serve) -> None:
    served = serve()
    served.publish(HELLO, start(1))
    served.wait_for_seq(1)
    stream = Stream(served.address).open()
    first = stream.read()
    assert (first.type, first.data["last_seq"]) == ("state", 1)
    served.publish(end(2))
    assert stream.read_until("end").id == "2"
    stream.close()


def test_stream_repeats_what_a_browser_has_missed(serve: Serve) -> None:
    served = serve()
    served.publish(HELLO, start(1), end(2), start(3, "e2"))
    served.wait_for_seq(3)
    stream = Stream(served.address, headers="Last-Event-ID: 1\r\n").open()
    assert [stream.read().type for _ in range(3)] == ["state", "end", "start"]
    stream.close()


def test_ten_viewers_get_the_same(serve: Serve) -> None:
    served = serve()
    served.publish(HELLO)
    streams = [Stream(served.address).open() for _ in range(10)]
    for stream in streams:
        stream.read_until("state")
    served.publish(*(start(seq, f"e{seq}") for seq in range(1, 101)))
    for stream in streams:
        assert [stream.read_until("start").data["seq"] for _ in range(100)] == list(range(1, 101))
        stream.close()


def test_E50_browser_that_never_reads_is_disconnected_and_others_lose_nothing(serve: Serve) -> None:
    served = serve()
    served.publish(HELLO)
    stuck = [Stream(served.address, receive_space_bytes=4096) for _ in range(3)]
    served.wait_for_seq(0)
    reading = Stream(served.address).open()
    gap = Gap(t=1.0, source="mic", lost_samples=1, reason="suspend")
    for seq in range(1, 4001):
        served.publish(structs.replace(gap, seq=seq))
        assert reading.read_until("gap").data["seq"] == seq
    assert all(stream.is_ended() for stream in stuck)
    for stream in (reading, *stuck):
        stream.close()


def test_E50_viewers_are_limited(serve: Serve) -> None:
    served = serve(max_viewers=1)
    stream = Stream(served.address).open()
    stream.read_until("state")
    assert served.ask("/events").code == 503
    assert served.ask("/healthz").code == 200
    stream.close()
    wait_until(lambda: served.ask("/events", "HEAD").code == 200, "the place is not free")


def test_E50_connections_are_limited(serve: Serve) -> None:
    served = serve(max_viewers=1)
    assert served.ask("/healthz").code == 200
    silent = [connect(served.address) for _ in range(70)]
    wait_until(lambda: any(map(is_reset, silent)), "there are too many, and nobody is disconnected")
    for connection in silent:
        connection.close()
    assert served.ask("/healthz").code == 200


def is_reset(connection: object) -> bool:
    connection.setblocking(False)  # type: ignore[attr-defined]
    try:
        return not connection.recv(1)  # type: ignore[attr-defined]
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


GOOD_HOSTS = ["localhost", "127.0.0.1:80", "[::1]:8080", "192.168.1.7", "Pi.Local:8080", "pi.local."]
BAD_HOSTS = ["evil.example", "", "localhost.evil.example", "127.0.0.1.evil.example:80", "a b", ":"]


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_hosts_that_are_admitted(quiet: Served, host: str) -> None:
    assert quiet.ask("/v1/state", host=host).code == 200


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_E51_other_hosts_are_refused(quiet: Served, host: str) -> None:
    answer = quiet.ask("/v1/state", host=host)
    assert (answer.code, b"sources" in answer.body) == (421, False)


@pytest.mark.parametrize("path", ["/", "/v1/state", "/events", "/metrics", "/healthz", "/page.js", "/none"])
def test_E52_nothing_without_the_token(guarded: Served, path: str) -> None:
    wrong = [{}, {"authorization": "Bearer x"}, {"authorization": f"Basic {TOKEN}"}, {"authorization": "Basic ü"}]
    for headers in wrong:
        assert guarded.ask(path, "GET", b"", **headers).code == 401
    assert guarded.ask(path).headers["www-authenticate"].startswith("Basic ")


def test_token_as_bearer_or_password(guarded: Served) -> None:
    basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    for authorization in (f"Bearer {TOKEN}", f"Basic {basic}", f"basic {basic}"):
        assert guarded.ask("/v1/state", authorization=authorization).code == 200
    process = Path(f"/proc/{guarded.sink.child_pid}")
    assert TOKEN.encode() not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_E52_methods_that_change_something_are_refused(quiet: Served, method: str) -> None:
    answer = quiet.ask("/v1/state", method)
    assert (answer.code, answer.headers["allow"]) == (405, "GET, HEAD")


TRAVERSALS = [
    *("/../../../etc/passwd", "/page.js/../child.py", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/..%2fchild.py"),
    *("/static/page.js", "/page.js%00", "/C:/", "/page.html", "/child.py"),
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_E52_only_the_files_of_the_page_are_served(quiet: Served, path: str) -> None:
    assert quiet.ask(path).code in (400, 404)


@pytest.mark.parametrize("path", [*FILES, "/none", "/v1/state", "/healthz"])
def test_every_answer_forbids_foreign_content(quiet: Served, path: str) -> None:
    headers = quiet.ask(path).headers
    assert {name: headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_E49_child_that_dies_or_hangs_is_replaced_within_two_seconds(serve: Serve, number: signal.Signals) -> None:
    served = serve()
    served.publish(HELLO, start(1))
    served.wait_for_seq(1)
    pid = present(served.sink.child_pid)
    os.kill(pid, number)
    at_s = time.monotonic()
    served.publish(end(2), start(3, "e2", "kettle"))
    # A request on the way to a child that is killed is lost with it; the next one waits for the next child.
    wait_until(lambda: _opened(served) == ["e2"], "no answer")
    # 1.7 s on a machine that has nothing else to do, of which the start of Python and its libraries is a third.
    assert time.monotonic() - at_s < 6.0
    assert served.sink.child_pid != pid


def _opened(served: Served) -> list[str]:
    try:
        sources = served.ask("/v1/state").json["sources"]
    except (OSError, ValueError):
        return []
    return [event["id"] for source in sources for event in source["open_events"]]


def test_E49_child_without_its_daemon_ends(serve: Serve) -> None:
    served = serve()
    served.ask("/healthz")
    pid = present(served.sink.child_pid)
    served.sink.close(1.0)
    assert not Path(f"/proc/{pid}").exists()


def test_close_says_bye_and_gives_back_threads_descriptors_and_the_port(serve: Serve) -> None:
    before = (n_open_fds(), threading.active_count())
    served = serve()
    served.publish(HELLO)
    served.ask("/healthz")
    served.sink.close(1.0)
    assert (n_open_fds(), threading.active_count()) == before
    with pytest.raises(ConnectionRefusedError):
        served.ask("/healthz")


def test_port_in_use_is_reported_at_the_start(serve: Serve) -> None:
    uri = serve().address.replace("http", "web")
    own = SinkSection(uri=uri)
    sink = find_kind_of(own).make(SinkPlan(own, OutputSection(), True))
    with pytest.raises(CannotCreateError, match="cannot listen"):
        sink.open(no_failure)


def test_child_tells_why_it_ends(serve: Serve, log: LogLines) -> None:
    served = serve()
    served.ask("/healthz")
    os.kill(present(served.sink.child_pid), signal.SIGKILL)
    assert "the web process ended: killed by SIGKILL" in log.wait_for("sink.restarting")
