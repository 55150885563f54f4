"""The MQTT sink at a real Mosquitto: what is published, and what happens when broker, child or daemon fail."""

from __future__ import annotations

import json
import os
import queue
import resource
import signal
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from streamgmm.errors import UsageError
from streamgmm.records import Record
from streamgmm.settings.output import OutputSection, SinkSection
from streamgmm.sinks.child.sink import ChildSink
from streamgmm.sinks.control import Command
from streamgmm.sinks.mqtt.bridge import MAX_COMMANDS
from streamgmm.sinks.registry import SinkPlan, find_kind_of
from tests.cli.cli_rig import run_cli
from tests.mqtt_rig import Broker, Received, Subscriber, retained, subscriber
from tests.narrowing import present
from tests.sinks.sink_rig import (
    HELLO,
    TIMEOUT_S,
    LogLines,
    end,
    log_of,
    message,
    n_open_fds,
    no_failure,
    start,
    status,
)
from tests.system.run_rig import frames_of, running, wait_until

OpenSink = Callable[..., ChildSink]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker for anybody, running."""
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.end()


@pytest.fixture
def client(broker: Broker) -> Iterator[Subscriber]:
    with subscriber(broker) as client:
        yield client


@pytest.fixture
def log() -> Iterator[LogLines]:
    with log_of("sinks") as lines:
        yield lines


@pytest.fixture
def open_sink(broker: Broker) -> Iterator[OpenSink]:
    """Opens a sink of the broker, or of another URI."""
    sinks: list[ChildSink] = []

    def make(uri: str = broker.uri, output: OutputSection | None = None, **settings: Any) -> ChildSink:
        own = SinkSection(uri=uri, **{"node": "test", **settings})
        sink = find_kind_of(own).make(SinkPlan(own, output or OutputSection(), True))
        assert isinstance(sink, ChildSink)
        sinks.append(sink)
        sink.open(no_failure)
        return sink

    yield make
    for sink in sinks:
        sink.close(1.0)


def publish(sink: ChildSink, *records: Record) -> None:
    for record in records:
        sink.publish(message(record))


def is_event(received: Received) -> bool:
    return received.topic == "home/test/mic/event"


def events(client: Subscriber) -> list[tuple[str, str]]:
    """Type and id of every event so far."""
    records = [json.loads(received.payload) for received in client.select(is_event)]
    return [(record["type"], record["id"]) for record in records]


def test_event_turns_its_label_on_and_off_and_is_published_itself(open_sink: OpenSink, client: Subscriber) -> None:
    sink = open_sink()
    publish(sink, HELLO, status(1))
    client.wait_until(test_status=b"online")
    publish(sink, start(2))
    client.wait_until(door_state=b"ON", kettle_state=b"OFF")
    publish(sink, end(3))
    received = client.wait_for(is_event, 2)
    assert [each.payload for each in received] == [message(start(2)).line[:-1], message(end(3)).line[:-1]]
    client.wait_until(door_state=b"OFF")
    # The state comes before the event that others react to.
    topics = [each.topic for each in client.messages]
    assert topics.index("home/test/mic/event") > topics.index("home/test/mic/door/state")


def test_what_is_retained_is_what_stays_true(open_sink: OpenSink, broker: Broker, client: Subscriber) -> None:
    publish(open_sink(), HELLO, status(1), start(2))
    client.wait_for(is_event)
    kept = retained(broker)
    assert kept.pop("home/test/mic/health") == message(status(1)).line[:-1]
    (config,) = [topic for topic in kept if topic.startswith("homeassistant/device/")]
    del kept[config]
    states = {"home/test/mic/door/state": b"ON", "home/test/mic/kettle/state": b"OFF"}
    assert kept == {"home/test/status": b"online", **states}


def test_latency_from_a_start_to_a_subscriber(open_sink: OpenSink, client: Subscriber) -> None:
    sink = open_sink()
    publish(sink, HELLO)
    client.wait_until(test_status=b"online")
    latencies_s = []
    for seq in range(1, 101, 2):
        before_s = time.monotonic()
        publish(sink, start(seq, f"e{seq}"))
        received = client.wait_for(is_event, seq)
        latencies_s.append(received[-1].at_s - before_s)
        publish(sink, end(seq + 1, f"e{seq}"))
        client.wait_for(is_event, seq + 1)
    assert statistics.median(latencies_s) < 0.015


def test_E45_hostile_names_have_topics_of_their_own(open_sink: OpenSink, broker: Broker, client: Subscriber) -> None:
    labels = [
        "a/b",
        "a+b",
        "a#b",
        "a\0b",
        "a b",
        "a%2Fb",
        "Türklingel",
        "犬",
        "$SYS",
        "door\n",
        "\ud800".encode("utf-8", "backslashreplace").decode(),
    ]
    hello = structs.replace(HELLO, source="a/+/#", labels=labels)
    publish(open_sink(), hello)
    client.wait_until(test_status=b"online")
    kept = retained(broker)
    states = [topic for topic in kept if topic.endswith("/state")]
    assert len(states) == len(labels)
    assert {topic.count("/") for topic in states} == {4}
    config = json.loads(next(payload for topic, payload in kept.items() if topic.endswith("/config")))
    sensors = [each for each in config["components"].values() if each["platform"] == "binary_sensor"]
    assert [each["name"] for each in sensors] == labels
    assert len({each["unique_id"] for each in sensors}) == len(labels)


def test_E40_broker_that_comes_late_gets_the_states_of_now(open_sink: OpenSink, broker: Broker, log: LogLines) -> None:
    broker.end()
    sink = open_sink()
    publish(sink, HELLO, start(1), end(2), start(3, "e2", "kettle"))
    assert "no broker answers" in log.wait_for("sink.offline")
    broker.start()
    with subscriber(broker) as client:
        client.wait_until(kettle_state=b"ON", test_status=b"online")
        client.wait_for(is_event, 3)
        assert events(client) == [("start", "e1"), ("end", "e1"), ("start", "e2")]
        # An event that is over by then turns nothing on.
        assert not client.select(lambda each: each.topic.endswith("door/state") and each.payload == b"ON")


def test_E40_broker_that_is_away_for_3600_events(open_sink: OpenSink, broker: Broker, client: Subscriber) -> None:
    sink = open_sink()
    publish(sink, HELLO, start(1))
    client.wait_for(is_event)
    broker.end()
    before_bytes = resident_bytes(os.getpid())
    for seq in range(2, 7202, 2):
        publish(sink, end(seq, f"e{seq - 1}"), start(seq + 1, f"e{seq + 1}"))
    publish(sink, end(7202, "e7201"), start(7203, "last", "kettle"))
    assert resident_bytes(os.getpid()) - before_bytes < 8 * 1024 * 1024
    broker.start()
    client.wait_until(kettle_state=b"ON", door_state=b"OFF")
    client.wait_for(lambda each: is_event(each) and b'"last"' in each.payload)
    seen = events(client)
    assert len(seen) > 500
    assert len(set(seen)) == len(seen)
    assert retained(broker)["home/test/mic/door/state"] == b"OFF"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_E41_broker_that_is_restarted_among_events_doubles_none(
    open_sink: OpenSink, broker: Broker, client: Subscriber, number: signal.Signals
) -> None:
    sink = open_sink()
    publish(sink, HELLO)
    client.wait_until(test_status=b"online")
    for seq in range(1, 401, 2):
        publish(sink, start(seq, f"e{seq}"), end(seq + 1, f"e{seq}"))
    client.wait_for(is_event, 20)
    broker.end(number)
    broker.start()
    client.wait_for(lambda each: is_event(each) and b'"e399"' in each.payload and b'"end"' in each.payload)
    seen = events(client)
    # What the broker has taken but not passed on dies with it; the subscriber may be late to reconnect.
    assert len(set(seen)) == len(seen)
    client.wait_until(door_state=b"OFF")


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_E40_frozen_broker_holds_up_nobody(open_sink: OpenSink, broker: Broker, client: Subscriber) -> None:
    sink = open_sink()
    publish(sink, HELLO)
    client.wait_until(test_status=b"online")
    broker.send(signal.SIGSTOP)
    before_s = time.monotonic()
    for seq in range(1, 2001):
        publish(sink, status(seq))
    sink.close(0.5)
    assert time.monotonic() - before_s < 2.0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_E43_child_that_dies_or_hangs_is_replaced_within_two_seconds(
    open_sink: OpenSink, client: Subscriber, number: signal.Signals
) -> None:
    sink = open_sink()
    publish(sink, HELLO, start(1))
    client.wait_until(door_state=b"ON")
    client.wait_for(is_event)
    pid = present(sink.child_pid)
    os.kill(pid, number)
    at_s = time.monotonic()
    publish(sink, end(2), start(3, "e2", "kettle"))
    client.wait_until(door_state=b"OFF", kettle_state=b"ON", test_status=b"online")
    client.wait_for(is_event, 3)
    assert time.monotonic() - at_s < 3.0
    assert sink.child_pid != pid
    assert events(client) == [("start", "e1"), ("end", "e1"), ("start", "e2")]


def test_E43_child_without_memory_is_replaced(open_sink: OpenSink, client: Subscriber, log: LogLines) -> None:
    sink = open_sink()
    publish(sink, HELLO, start(1))
    client.wait_for(is_event)
    used_bytes = int(Path(f"/proc/{sink.child_pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.prlimit(present(sink.child_pid), resource.RLIMIT_AS, (used_bytes, used_bytes))
    many = structs.replace(HELLO, seq=2, labels=["door", *(f"label {number}" for number in range(4000))])
    publish(sink, many, start(3, "e2"))
    assert "the mqtt process ended: MemoryError" in log.wait_for("sink.restarting")
    client.wait_for(lambda each: is_event(each) and b'"e2"' in each.payload)


def test_E42_wrong_password_is_said_once_and_what_to_do(tmp_path: Path, open_sink: OpenSink, log: LogLines) -> None:
    passwords, secret = tmp_path / "passwords", tmp_path / "secret"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "me", "right"], check=True, capture_output=True)
    (tmp_path / "guarded").mkdir()
    guarded = Broker(tmp_path / "guarded", "allow_anonymous false", f"password_file {passwords}")
    guarded.start()
    try:
        secret.write_text("me:Xs3cret\n")
        secret.chmod(0o600)
        sink = open_sink(guarded.uri, secret_file=str(secret))
        line = log.wait_for("sink.offline")
        assert "the broker refuses user or password (check the user and password in secret_file)" in line
        assert "Xs3cret" not in line
        # The password is on no command line and in no environment.
        process = Path(f"/proc/{sink.child_pid}")
        assert b"Xs3cret" not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        sink.close(1.0)
        secret.write_text("me:right\n")
        publish(open_sink(guarded.uri, secret_file=str(secret)), HELLO)
        log.wait_for("sink.connected")
    finally:
        guarded.end()


def make_certificates(folder: Path) -> None:
    """A certificate authority, and certificates of it for the broker and for a client."""
    authority = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem"
    subprocess.run(authority.split(), cwd=folder, check=True, capture_output=True)
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("broker", "client"):
        request = f"openssl req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
        sign = f"openssl x509 -req -days 2 -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names"
        for command in (request, f"{sign} -out {name}.pem"):
            subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)


def test_E42_tls_with_an_authority_of_ones_own(tmp_path: Path, open_sink: OpenSink, log: LogLines) -> None:
    make_certificates(tmp_path)
    files = [f"cafile {tmp_path}/ca.pem", f"certfile {tmp_path}/broker.pem", f"keyfile {tmp_path}/broker.key"]
    (tmp_path / "tls").mkdir()
    tls = Broker(tmp_path / "tls", *files, "require_certificate true", "allow_anonymous true")
    tls.start()
    uri = f"mqtts://127.0.0.1:{tls.port}/home"
    own = {"cert_file": f"{tmp_path}/client.pem", "key_file": f"{tmp_path}/client.key"}
    try:
        open_sink(uri, **own)
        line = log.wait_for("sink.offline")
        assert "is not trusted" in line
        assert "ca_file" in line
        publish(open_sink(uri, ca_file=f"{tmp_path}/ca.pem", **own), HELLO)
        log.wait_for("sink.connected")
    finally:
        tls.end()


def test_home_assistant_that_starts_is_told_all_again(open_sink: OpenSink, client: Subscriber) -> None:
    publish(open_sink(), HELLO, start(1))
    client.wait_for(is_event)
    n_before = len(client.messages)
    client.publish("homeassistant/status", b"online")
    client.wait_for(lambda each: each.topic.endswith("/config"), 2)
    client.wait_for(lambda each: each.topic.endswith("door/state") and each in client.messages[n_before:])


def test_E56_what_the_access_rules_of_the_broker_do_not_allow_is_reported(
    open_sink: OpenSink, tmp_path: Path, log: LogLines
) -> None:
    (folder := tmp_path / "rules").mkdir()
    (folder / "acl").write_text("topic readwrite home/test/+/+/state\ntopic readwrite home/test/status\n")
    guarded = Broker(folder, "allow_anonymous true", f"acl_file {folder}/acl")
    guarded.start()
    with subscriber(guarded) as client:
        sink = open_sink(guarded.uri, discovery="")
        publish(sink, HELLO, start(1), end(2))
        assert "the broker refuses messages: not authorized" in log.wait_for("sink.refused")
        client.wait_until(test_mic_door_state=b"OFF")
        sink.close(TIMEOUT_S)
        # Once for all; the states of the hello are allowed, and the events are not.
        assert log.wait_for("sink.").endswith("sent=1 failed=2 dropped=0 left=0")
    guarded.end()


def test_E46_leftovers_of_an_earlier_run_are_removed(open_sink: OpenSink, broker: Broker, client: Subscriber) -> None:
    first = open_sink()
    publish(first, structs.replace(HELLO, labels=["door", "siren"]), start(1))
    client.wait_for(is_event)
    os.kill(present(first.child_pid), signal.SIGKILL)
    first.close(0.0)
    client.publish("home/test/mic/siren/state", b"ON", retain=True)
    client.publish("home/test/mic/door/state", b"ON", retain=True)
    publish(open_sink(), HELLO)
    client.wait_until(test_mic_siren_state=b"", door_state=b"OFF", kettle_state=b"OFF")
    (config,) = {each.topic for each in client.messages if each.topic.endswith("/config")}
    stubs = [{"platform": "binary_sensor"}]

    def removed() -> bool:
        components = json.loads(client.latest()[config])["components"].values()
        return [each for each in components if "state_topic" not in each] == stubs

    wait_until(removed, "the sensor of the siren is not removed")
    assert "home/test/mic/siren/state" not in retained(broker)


def test_E44_daemon_publishes_a_scene_and_says_offline_when_killed(
    broker: Broker, client: Subscriber, demo_model: Path, demo_scene: Path
) -> None:
    sinks = ("-k", "stdout:", "-k", broker.uri)
    with running("-m", demo_model, "-s", "pcm:-", *sinks, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as daemon:
        daemon.stdin.write(frames_of(demo_scene, 0.0, 30.0))
        daemon.stdin.flush()
        client.wait_for(lambda each: each.topic.endswith("/event"))
        (online,) = client.select(lambda each: each.payload == b"online")
        child = int(subprocess.run(["pgrep", "-P", str(daemon.process.pid)], capture_output=True, check=True).stdout)
        daemon.signal(signal.SIGKILL)
        client.wait_for(lambda each: each.topic == online.topic and each.payload == b"offline")
        wait_until(lambda: not Path(f"/proc/{child}").exists(), "the child survives its daemon")
    assert b"ON" not in retained(broker).values()


def test_E44_last_will_says_offline_when_daemon_and_child_are_killed(open_sink: OpenSink, client: Subscriber) -> None:
    sink = open_sink()
    publish(sink, HELLO)
    client.wait_until(test_status=b"online")
    os.kill(present(sink.child_pid), signal.SIGKILL)
    client.wait_for(lambda each: each.topic == "home/test/status" and each.payload == b"offline")


@pytest.mark.parametrize("is_there", [True, False])
def test_F1_shutdown_is_bounded(broker: Broker, demo_model: Path, is_there: bool) -> None:
    if not is_there:
        broker.end()
    sinks = ("-k", "stdout:", "-k", broker.uri)
    with running("-m", demo_model, "-s", "pcm:-", *sinks, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as daemon:
        daemon.wait_for_log("sink.connected" if is_there else "sink.offline")
        daemon.terminate()


def test_remove_empties_all_topics_of_a_daemon_that_has_ended(
    open_sink: OpenSink, broker: Broker, client: Subscriber, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sink = open_sink()
    publish(sink, HELLO, status(1))
    client.wait_until(test_status=b"online")
    client.publish("home/other/status", b"online", retain=True)
    settings = tmp_path / "settings.yaml"
    settings.write_text(f'output: {{sinks: [{{uri: "{broker.uri}", node: test}}]}}\n')
    remove = ("mqtt", "remove", broker.uri, "--config", str(settings))
    refused = run_cli(capsys, *remove)
    assert (refused.code, refused.out) == (75, "")
    assert "a daemon publishes there (stop it" in refused.err
    sink.close(1.0)
    # Without the settings, it is the node of this host.
    other = run_cli(capsys, "mqtt", "remove", broker.uri)
    assert (other.code, other.out) == (0, f"removed 0 topics of node {socket.gethostname()}\n")
    assert run_cli(capsys, *remove).out == "removed 5 topics of node test\n"
    assert retained(broker) == {"home/other/status": b"online"}
    broker.end()
    absent = run_cli(capsys, *remove)
    assert (absent.code, absent.out) == (75, "")
    assert "no broker answers" in absent.err


def test_no_discovery_if_it_is_turned_off(open_sink: OpenSink, broker: Broker, client: Subscriber) -> None:
    publish(open_sink(discovery=""), HELLO)
    client.wait_until(test_status=b"online")
    assert {topic.split("/")[0] for topic in retained(broker)} == {"home"}


def test_another_prefix_of_discovery(open_sink: OpenSink, broker: Broker, client: Subscriber) -> None:
    publish(open_sink(discovery="ha/test"), HELLO, start(1))
    client.wait_for(is_event)
    assert [topic for topic in retained(broker) if topic.startswith("ha/test/device/") and topic.endswith("/config")]


def test_only_wanted_labels_and_records_are_published(open_sink: OpenSink, broker: Broker, client: Subscriber) -> None:
    sink = open_sink(labels=["door"], records=["end"])
    publish(sink, HELLO, start(1, "k", "kettle"), end(2, "k", "kettle"), start(3), end(4))
    client.wait_for(is_event)
    assert events(client) == [("end", "e1")]
    assert not [topic for topic in retained(broker) if "kettle" in topic]


@pytest.mark.parametrize("is_there", [True, False])
def test_F15_F16_close_gives_back_threads_descriptors_and_the_child(
    open_sink: OpenSink, broker: Broker, log: LogLines, is_there: bool
) -> None:
    if not is_there:
        broker.end()
    before = (n_open_fds(), threading.active_count())
    sink = open_sink()
    publish(sink, HELLO)
    log.wait_for("sink.connected" if is_there else "sink.offline")
    pid = present(sink.child_pid)
    sink.close(1.0)
    assert (n_open_fds(), threading.active_count()) == before
    assert not Path(f"/proc/{pid}").exists()


class Ears:
    """Keeps the commands that a sink passes on."""

    def __init__(self) -> None:
        self._heard: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.n_heard = 0

    def obey(self, command: Command, by: str) -> None:
        if "mouse" in command.labels:
            raise UsageError("no model reports the label 'mouse'")
        self._heard.put(command)
        self.n_heard += 1

    def next(self) -> Command:
        return self._heard.get(timeout=TIMEOUT_S)

    def taken(self) -> list[Command]:
        return [self._heard.get() for _ in range(self._heard.qsize())]


def obeying(open_sink: OpenSink, client: Subscriber) -> Ears:
    sink, ears = open_sink(commands=True), Ears()
    sink.obey = ears.obey
    publish(sink, HELLO)
    client.wait_until(test_status=b"online")
    return ears


def test_commands_are_obeyed_in_words_and_as_json(open_sink: OpenSink, client: Subscriber) -> None:
    ears = obeying(open_sink, client)
    for said, command in {
        b"pause": Command(action="pause"),
        b"resume\n": Command(action="resume"),
        b"off door bell": Command(action="off", labels=["door bell"]),
        "on Türklingel".encode(): Command(action="on", labels=["Türklingel"]),
        b'{"action": "pause", "for_s": 1800}': Command(action="pause", for_s=1800.0),
    }.items():
        client.publish("home/test/command", said)
        assert ears.next() == command


def test_switches_of_home_assistant_send_what_is_obeyed(
    open_sink: OpenSink, broker: Broker, client: Subscriber
) -> None:
    ears = obeying(open_sink, client)
    (config,) = [payload for topic, payload in retained(broker).items() if topic.endswith("/config")]
    switches = [each for each in json.loads(config)["components"].values() if each["platform"] == "switch"]
    for switch in switches:
        for payload in (switch["payload_off"], switch["payload_on"]):
            client.publish(switch["command_topic"], payload.encode())
    heard = [ears.next() for _ in range(2 * len(switches))]
    assert [each.action for each in heard[:2]] == ["pause", "resume"]
    assert [each.labels for each in heard[2::2]] == [[label] for label in HELLO.labels]


def test_E55_bad_commands_are_refused_and_the_next_good_one_is_obeyed(
    open_sink: OpenSink, client: Subscriber, log: LogLines
) -> None:
    ears = obeying(open_sink, client)
    for said in (b"", b"explode", b"\xff\xfe", b"off", b"pause now", b"off mouse", b"[" * 100_000, b"{" * 9000):
        client.publish("home/test/command", said)
        log.wait_for("control.refused")
    client.publish("home/test/command", b"resume")
    assert ears.next() == Command(action="resume")
    assert ears.n_heard == 1


def test_E55_flood_of_commands_is_cut_off(open_sink: OpenSink, client: Subscriber) -> None:
    ears = obeying(open_sink, client)
    before_s = time.monotonic()
    for _ in range(300):
        client.publish("home/test/command", b"pause")
    n_seconds = 2.0 + time.monotonic() - before_s

    def is_obeyed_again() -> bool:
        client.publish("home/test/command", b"resume")
        return any(command.action == "resume" for command in ears.taken())

    wait_until(is_obeyed_again, "it obeys no more")
    assert ears.n_heard <= MAX_COMMANDS * n_seconds


def test_E55_retained_command_is_not_obeyed_at_every_start(
    open_sink: OpenSink, broker: Broker, client: Subscriber
) -> None:
    client.publish("home/test/command", b"pause", retain=True)
    ears = obeying(open_sink, client)
    client.publish("home/test/command", b"resume")
    assert ears.next() == Command(action="resume")


def test_nobody_commands_it_unless_the_settings_say_so(open_sink: OpenSink, client: Subscriber) -> None:
    sink, ears = open_sink(), Ears()
    sink.obey = ears.obey
    publish(sink, HELLO)
    client.wait_until(test_status=b"online")
    client.publish("home/test/command", b"pause")
    publish(sink, start(1))
    client.wait_for(is_event)
    assert ears.n_heard == 0


def test_two_daemons_with_one_name_are_reported(open_sink: OpenSink, log: LogLines) -> None:
    for _ in range(2):
        publish(open_sink(), HELLO)
    assert "does another daemon have the same `node`?" in log.wait_for("sink.offline")
