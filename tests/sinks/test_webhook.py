"""Records sent to a web server, and servers that do not take them."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from streamgmm.errors import ConfigError
from streamgmm.settings.output import OutputSection, SinkSection
from streamgmm.sinks import webhook
from streamgmm.sinks.body_template import BodyTemplate
from streamgmm.sinks.registry import SinkPlan, find_kind_of
from streamgmm.sinks.selection import warn_of_unknown_names
from streamgmm.sinks.webhook import WebhookSink, read_headers, read_key
from tests.sinks.sink_rig import HELLO, TIMEOUT_S, LogLines, end, message, no_failure, start, status


class Request(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


class WebServer(http.server.ThreadingHTTPServer):
    """Keeps what it is sent, and answers with the given status codes, the last of them for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self.answers = [204]
        self.may_answer = threading.Event()
        self.may_answer.set()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook/Xs3cret?a=1"

    def next(self) -> Request:
        return self.requests.get(timeout=TIMEOUT_S)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: WebServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answers = self.server.answers
        code = answers.pop(0) if len(answers) > 1 else answers[0]
        self.server.requests.put(Request(self.path, dict(self.headers), body))
        self.server.may_answer.wait(TIMEOUT_S)
        self.send_response(code)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.may_answer.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def open_sink(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., WebhookSink]]:
    monkeypatch.setattr(webhook, "FIRST_RETRY_S", 0.01)
    sinks: list[WebhookSink] = []

    def make(uri: str = server.uri, **options: Any) -> WebhookSink:
        sinks.append(WebhookSink(uri, **options))
        sinks[-1].open(no_failure)
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close(0.0)


def test_record_is_the_body_of_a_post(open_sink: Callable[..., WebhookSink], server: WebServer) -> None:
    open_sink(headers={"Authorization": "Bearer abc"}).publish(message(start(1)))
    request = server.next()
    assert request.path == "/hook/Xs3cret?a=1"
    assert request.body == message(start(1)).line
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] == "Bearer abc"
    assert webhook.SIGNATURE not in request.headers


def test_signature_is_that_of_the_body(open_sink: Callable[..., WebhookSink], server: WebServer) -> None:
    open_sink(key=b"key").publish(message(start(1)))
    request = server.next()
    expected = hmac.new(b"key", request.body, hashlib.sha256).hexdigest()
    assert request.headers[webhook.SIGNATURE] == f"sha256={expected}"


def test_body_is_that_of_the_template(open_sink: Callable[..., WebhookSink], server: WebServer) -> None:
    body = BodyTemplate('{"text": "$label ($score)", "score": $score, "end": $end_t}')
    open_sink(key=b"key", body=body).publish(message(start(1)))
    request = server.next()
    record = start(1)
    assert json.loads(request.body) == {
        "text": f"{record.label} ({record.score})",
        "score": record.score,
        "end": None,
    }
    assert request.headers["Content-Type"] == "application/json"
    expected = hmac.new(b"key", request.body, hashlib.sha256).hexdigest()
    assert request.headers[webhook.SIGNATURE] == f"sha256={expected}"


def test_body_of_the_settings_is_sent(server: WebServer) -> None:
    own = SinkSection(uri=server.uri, body="$type: $label")
    sink = find_kind_of(own).make(SinkPlan(own, OutputSection(), True))
    sink.open(no_failure)
    sink.publish(message(start(2)))
    request = server.next()
    assert (request.body.decode(), request.headers["Content-Type"]) == (
        f"start: {start(2).label}",
        "text/plain; charset=utf-8",
    )
    sink.close(TIMEOUT_S)


def test_only_starts_and_ends_are_sent_by_default(server: WebServer) -> None:
    own = SinkSection(uri=server.uri)
    sink = find_kind_of(own).make(SinkPlan(own, OutputSection(), True))
    sink.open(no_failure)
    for record in (HELLO, status(1), start(2), end(3)):
        sink.publish(message(record))
    assert [server.next().body for _ in range(2)] == [message(start(2)).line, message(end(3)).line]
    sink.close(TIMEOUT_S)
    assert server.requests.empty()


@pytest.mark.parametrize("code", [500, 503, 408, 429])
def test_E47_record_is_sent_again_while_the_server_cannot_take_it(
    open_sink: Callable[..., WebhookSink], server: WebServer, log: LogLines, code: int
) -> None:
    server.answers = [code, code, 204]
    sink = open_sink()
    sink.publish(message(start(1)))
    sink.publish(message(end(2)))
    bodies = [server.next().body for _ in range(4)]
    assert bodies == [message(start(1)).line] * 3 + [message(end(2)).line]
    assert f"status {code}" in log.wait_for("sink.failed")
    log.wait_for("sink.recovered")


@pytest.mark.parametrize(
    ("code", "words"), [(404, "check address and headers"), (401, "headers"), (302, "redirects are not followed")]
)
def test_E48_refused_record_is_logged_and_left_out(
    open_sink: Callable[..., WebhookSink], server: WebServer, log: LogLines, code: int, words: str
) -> None:
    server.answers = [code, code, 204]
    sink = open_sink()
    for record in (start(1), end(2), start(3)):
        sink.publish(message(record))
    requests = [server.next() for _ in range(3)]
    assert [request.body for request in requests] == [message(each).line for each in (start(1), end(2), start(3))]
    assert {request.path for request in requests} == {"/hook/Xs3cret?a=1"}
    line = log.wait_for("sink.refused")
    assert words in line
    assert "Xs3cret" not in line
    sink.close(TIMEOUT_S)
    # Once for refusals in a row: the next line is that of the end.
    assert log.wait_for("sink.").endswith("sent=1 failed=2 dropped=0 left=0")


def test_E47_absent_server_is_reported_and_waited_for(
    open_sink: Callable[..., WebhookSink], server: WebServer, log: LogLines
) -> None:
    port = server.server_port
    server.shutdown()
    server.server_close()
    open_sink(f"http://127.0.0.1:{port}/").publish(message(start(1)))
    assert "Connection refused" in log.wait_for("sink.failed")


def test_E47_server_that_never_answers_is_given_up(
    open_sink: Callable[..., WebhookSink], server: WebServer, log: LogLines
) -> None:
    server.may_answer.clear()
    open_sink(timeout_s=0.2).publish(message(start(1)))
    log.wait_for("sink.failed")
    server.may_answer.set()
    log.wait_for("sink.recovered")


def test_E47_end_does_not_wait_for_a_server_that_never_answers(
    open_sink: Callable[..., WebhookSink], server: WebServer
) -> None:
    server.may_answer.clear()
    sink = open_sink()
    sink.publish(message(start(1)))
    server.next()
    before_s = time.monotonic()
    sink.close(0.1)
    assert time.monotonic() - before_s < 1.0


def test_E47_a_recording_does_not_wait_for_a_server_that_takes_nothing(
    open_sink: Callable[..., WebhookSink], server: WebServer, log: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WebhookSink, "patience_s", 0.3)
    server.may_answer.clear()
    sink = open_sink(is_live=False, max_records=2)
    for seq in range(1, 6):
        sink.publish(message(start(seq)))
    assert "took nothing for 0.3 s" in log.wait_for("sink.unanswered")
    sink.drain()


def test_E47_a_recording_waits_for_a_server_that_is_slow(
    open_sink: Callable[..., WebhookSink], server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WebhookSink, "patience_s", 5.0)
    sink = open_sink(is_live=False, max_records=2)
    for seq in range(1, 9):
        sink.publish(message(start(seq)))
    sink.drain()
    assert [json.loads(server.next().body)["id"] for _ in range(8)] == [start(seq).id for seq in range(1, 9)]


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("http://[fe80::abcd]/x", ("fe80::abcd", 80)),
        ("https://[::1]/x", ("::1", 443)),
        ("http://[::1]:8080/x", ("::1", 8080)),
    ],
)
def test_host_may_be_an_ipv6_address(
    open_sink: Callable[..., WebhookSink],
    log: LogLines,
    monkeypatch: pytest.MonkeyPatch,
    uri: str,
    address: tuple[str, int],
) -> None:
    asked: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()

    def refuse(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        asked.put(address)
        raise ConnectionRefusedError("no server here")

    monkeypatch.setattr(socket, "create_connection", refuse)
    open_sink(uri).publish(message(start(1)))
    assert asked.get(timeout=TIMEOUT_S) == address
    log.wait_for("sink.failed")


def test_what_is_not_http_is_reported(open_sink: Callable[..., WebhookSink], log: LogLines) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        open_sink(f"http://127.0.0.1:{listener.getsockname()[1]}/").publish(message(start(1)))
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"SSH-2.0-x\r\n")
            assert "something else than HTTP" in log.wait_for("sink.failed")


@pytest.mark.parametrize(
    "uri",
    [
        *("http://", "https:///path", "http://h:x/", "http://h:0/", "http://h/ä", "http://h/a b", "http://h/#x"),
        *("http://hooks..example.com/x", f"https://{'x' * 64}.example.com/", "http://.local/x"),
    ],
)
def test_E38_address_that_is_not_one_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match="is not of the form"):
        WebhookSink(uri)


def test_A37_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="headers_file") as caught:
        WebhookSink("https://me:Xs3cret@host/")
    assert "Xs3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"), [("Name value", "line 1"), ("A: b\nHost: x", "line 2 sets Host"), ("A: b\x01", "line 1")]
)
def test_headers_that_are_none_are_refused_and_not_shown(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "headers").write_text(content)
    (tmp_path / "headers").chmod(0o600)
    with pytest.raises(ConfigError, match=words) as caught:
        read_headers(tmp_path / "headers")
    assert "value" not in str(caught.value).replace("Name: value", "")


def test_files_of_headers_and_key(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("Authorization: Bearer a:b\n\nX-Two: 2\n")
    (tmp_path / "key").write_text("0123\n")
    for name in ("headers", "key"):
        (tmp_path / name).chmod(0o644)
    with pytest.raises(ConfigError, match="any user of this machine can access it"):
        read_headers(tmp_path / "headers")
    with pytest.raises(ConfigError, match="any user of this machine can access it"):
        read_key(tmp_path / "key")
    for name in ("headers", "key"):
        (tmp_path / name).chmod(0o600)
    assert read_headers(tmp_path / "headers") == {"Authorization": "Bearer a:b", "X-Two": "2"}
    assert read_key(tmp_path / "key") == b"0123"
    (tmp_path / "key").write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        read_key(tmp_path / "key")


def test_A37_path_that_may_be_secret_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    own = SinkSection(uri="https://me:pw@host:1/Xs3cret?a=b", labels=["nothing"], node="x")
    with pytest.raises(ConfigError, match="node is not a setting") as caught:
        find_kind_of(own)
    warn_of_unknown_names(OutputSection(sinks=[own]), ["door"], [])
    assert "https://host:1/...: no model has the label" in caplog.text
    assert not {"Xs3cret", "pw"} & set((str(caught.value) + caplog.text).replace("/", " ").replace("?", " ").split())
