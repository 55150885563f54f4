from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path

import pytest
from msgspec import structs

from streamgmm.errors import CannotCreateError, ConfigError, OutputError, StreamgmmError
from streamgmm.settings.output import OutputSection, SinkSection
from streamgmm.sinks.control import Obey
from streamgmm.sinks.file import FileSink
from streamgmm.sinks.hub import Hub, make_sinks
from streamgmm.sinks.sink import Message, OnFailure, PipeClosedError, Snapshot
from streamgmm.sinks.socket.listeners import TcpListener
from streamgmm.sinks.socket.sockets import SocketSink
from streamgmm.sinks.stdout import StdoutSink
from tests.sinks.sink_rig import HELLO, TIMEOUT_S, Client, Failures, LogLines, message, no_failure, status


class FakeSink:
    """Keeps what it is given; `open_error` and `fail` make it go wrong."""

    snapshot: Snapshot | None = None
    obey: Obey | None = None
    n_clients = 0

    def __init__(self, name: str = "fake:", open_error: StreamgmmError | None = None) -> None:
        self.name = name
        self.open_error = open_error
        self.messages: list[Message] = []
        self.calls: list[str] = []
        self.is_open = False
        self.timeout_s = -1.0
        self.fail: OnFailure

    def open(self, on_failure: OnFailure) -> None:
        if self.open_error is not None:
            raise self.open_error
        self.fail = on_failure
        self.is_open = True

    def publish(self, message: Message) -> None:
        self.messages.append(message)

    def drain(self) -> None:
        self.calls.append("drain")

    def hurry(self) -> None:
        self.calls.append("hurry")

    def reopen(self) -> None:
        self.calls.append("reopen")

    def close(self, timeout_s: float) -> None:
        self.is_open = False
        self.timeout_s = timeout_s


def open_hub(*sinks: FakeSink, on_failure: OnFailure = no_failure) -> Hub:
    hub = Hub(sinks)
    hub.open(on_failure)
    return hub


def seqs(messages: list[Message]) -> list[int]:
    return [message.record.seq for message in messages]


def test_all_sinks_share_one_encoding() -> None:
    first, second = FakeSink("1"), FakeSink("2")
    open_hub(first, second).publish(status(0))
    assert first.messages == second.messages == [message(status(0))]
    assert first.messages[0].line is second.messages[0].line


def test_E25_score_that_is_not_finite_becomes_null() -> None:
    sink = FakeSink()
    hub = open_hub(sink)
    for t in (float("nan"), float("inf")):
        hub.publish(structs.replace(status(0), t=t))
    assert all(b'"t":null' in sent.line for sent in sink.messages)


def test_if_one_sink_cannot_be_opened_none_is() -> None:
    good, bad, never = FakeSink("1"), FakeSink("2", CannotCreateError("taken")), FakeSink("3")
    hub = Hub([good, bad, never])
    with pytest.raises(CannotCreateError, match="taken"):
        hub.open(no_failure)
    assert not good.is_open
    assert never.timeout_s == -1.0


def test_failed_sink_is_dropped_and_the_others_go_on(log: LogLines) -> None:
    bad, good = FakeSink("bad:"), FakeSink("good:")
    hub = open_hub(bad, good)
    hub.publish(status(0))
    error = OutputError("disk full")
    bad.fail(error)
    hub.publish(status(1))
    assert (seqs(bad.messages), seqs(good.messages)) == ([0], [0, 1])
    assert hub.failed_sinks == {"bad:": error}
    assert log.wait_for("sink.failed") == "sink.failed sink=bad: reason=disk full"


def test_when_the_last_sink_fails_the_hub_has_failed(failures: Failures) -> None:
    sinks = FakeSink("1"), FakeSink("2")
    hub = open_hub(*sinks, on_failure=failures)
    errors = OutputError("first"), OutputError("second")
    for sink, error in zip(sinks, errors, strict=True):
        sink.fail(error)
    assert failures.wait() is errors[1]
    assert failures.is_empty
    hub.publish(status(0))


def test_waiting_hurrying_and_reopening_reach_every_sink() -> None:
    sinks = FakeSink("1"), FakeSink("2")
    hub = open_hub(*sinks)
    hub.drain()
    hub.hurry()
    hub.reopen()
    assert [sink.calls for sink in sinks] == 2 * [["drain", "hurry", "reopen"]]


def test_close_shares_its_time_among_all_sinks() -> None:
    sinks = FakeSink("1"), FakeSink("2")
    hub = open_hub(*sinks)
    hub.close(5.0)
    assert 5.0 >= sinks[0].timeout_s >= sinks[1].timeout_s >= 0.0


def test_E18_daemon_learns_at_once_that_nobody_reads(failures: Failures) -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    hub = Hub([StdoutSink(fd=write_fd)])
    hub.open(failures)
    hub.publish(status(0))
    assert isinstance(failures.wait(), PipeClosedError)
    hub.close(TIMEOUT_S)
    os.close(write_fd)


def test_E18_subscribers_stay_when_stdout_goes(log: LogLines, failures: Failures) -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    subscribers = SocketSink(TcpListener("tcp://127.0.0.1:0"))
    hub = Hub([StdoutSink(fd=write_fd), subscribers])
    hub.open(failures)
    hub.publish(HELLO)
    log.wait_for("sink.failed", "stdout:")
    hub.publish(status(1))
    with Client(subscribers.address) as client:
        assert [record.seq for record in client.read(2)] == [0, 1]
    assert failures.is_empty
    hub.close(TIMEOUT_S)
    os.close(write_fd)


def test_sinks_are_chosen_by_uri(tmp_path: Path) -> None:
    uris: list[str | SinkSection] = ["stdout:", f"file://{tmp_path}/f", f"unix://{tmp_path}/s", "tcp://127.0.0.1:0"]
    sinks = make_sinks(OutputSection(sinks=uris))
    assert [type(sink) for sink in sinks] == [StdoutSink, FileSink, SocketSink, SocketSink]
    assert [sink.name for sink in sinks] == uris


VALID = (
    "valid are stdout:, file://PATH, unix://PATH, tcp://HOST:PORT, exec:COMMAND, mqtt://HOST/PREFIX, "
    "mqtts://HOST/PREFIX, web://HOST:PORT, http://HOST/PATH and https://HOST/PATH"
)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("", f"'' is not a sink; {VALID}"),
        ("nats://broker", f"'nats://broker' is not a sink; {VALID}"),
        ("stdout", "'stdout' is not of the form stdout:"),
        ("stdot:", f"'stdot:' is not a sink, did you mean stdout?; {VALID}"),
        ("fil:///tmp/f", f"'fil:///tmp/f' is not a sink, did you mean file?; {VALID}"),
        ("unix:/run/s", "'unix:/run/s' is not of the form unix://PATH"),
        ("tcp:localhost:1", "'tcp:localhost:1' is not of the form tcp://HOST:PORT"),
        ("file:out.jsonl", "'file:out.jsonl' is not of the form file://PATH"),
        ("stdout:x", "'stdout:x' is not of the form stdout:"),
    ],
)
def test_E38_unknown_uri_is_refused_with_the_nearest_scheme_and_the_valid_forms(uri: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_sinks(OutputSection(sinks=[uri]))
    assert str(caught.value) == f"output.sinks: {reason}"


def test_no_sink_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        make_sinks(OutputSection(sinks=[]))


def test_all_problems_are_told_at_once() -> None:
    uris: list[str | SinkSection] = ["stdout:", "stdout:", "pigeon:", "tcp://0.0.0.0:1", "unix://", "file://"]
    with pytest.raises(ConfigError) as caught:
        make_sinks(OutputSection(sinks=uris))
    assert len(caught.value.problems) == 5
    assert all(line.startswith("output.sinks: ") for line in str(caught.value).splitlines())


def test_E17_an_address_for_all_needs_the_permission_and_a_token(tmp_path: Path) -> None:
    (token_file := tmp_path / "token").write_text(secrets.token_hex(16))
    uri = "tcp://0.0.0.0:0"
    for refused in (
        OutputSection(sinks=[uri]),
        OutputSection(sinks=[uri], allow_remote=True),
        OutputSection(sinks=[uri], token_file=str(token_file)),
        OutputSection(sinks=["tcp://example.org:1"], allow_remote=True, token_file=str(token_file)),
    ):
        with pytest.raises(ConfigError) as caught:
            make_sinks(refused)
        assert caught.value.exit_code == 78
    (sink,) = make_sinks(OutputSection(sinks=[uri], allow_remote=True, token_file=str(token_file)))
    assert isinstance(sink, SocketSink)


def test_E17_no_permission_opens_a_socket_without_a_token(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"open to anybody; name an output\.token_file"):
        make_sinks(OutputSection(sinks=["tcp://127.0.0.1:0"], allow_remote=True))


def test_subscribers_of_all_sinks_are_counted_and_each_sink_gets_the_snapshot() -> None:
    first, second = FakeSink("1"), FakeSink("2")
    first.n_clients, second.n_clients = 2, 3
    hub = Hub([first, second])
    hub.greet_with(lambda: [status(1)])
    assert hub.n_clients == 5
    assert [list(sink.snapshot()) for sink in (first, second) if sink.snapshot] == 2 * [[status(1)]]


def test_records_of_many_threads_are_numbered_in_the_order_of_every_sink() -> None:
    first, second = FakeSink("1"), FakeSink("2")
    hub = open_hub(first, second)

    def publish() -> None:
        for _ in range(500):
            hub.publish(status(0))

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seqs(first.messages) == seqs(second.messages) == list(range(2000))
