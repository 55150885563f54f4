"""What a broker does not accept is reported with its reason."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Callable, Iterator

import pytest

from streamgmm.sinks.mqtt.client import Client
from streamgmm.sinks.mqtt.protocol import Request
from streamgmm.sinks.mqtt.removal import Removal
from streamgmm.sinks.mqtt.topics import Topics
from tests.mqtt_rig import TIMEOUT_S, RefusingBroker, refusing_broker

EVENT, STATE = "home/pi/mic/event", "home/pi/mic/door/state"


def request_to(broker: RefusingBroker) -> Request:
    return Request(host="127.0.0.1", port=broker.port, topics=Topics("home", "pi", ""), version="1")


@pytest.fixture
def connect() -> Iterator[Callable[[RefusingBroker], Client]]:
    """Returns clients that are connected."""
    clients: list[Client] = []

    def make(broker: RefusingBroker) -> Client:
        clients.append(client := Client(request_to(broker), b"offline", lambda *_: None))
        client.connect()
        serve(client, lambda: client.is_connected)
        return client

    yield make
    for client in clients:
        client.disconnect()


def serve(client: Client, is_over: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not is_over():
        assert time.monotonic() < deadline_s
        connection = client.socket()
        readable, writable, _ = select.select([connection], [connection] if client.want_write() else [], [], 0.1)
        if readable:
            client.read()
        if writable:
            client.write()


def publish(client: Client, topic: str) -> None:
    client.publish(topic, b"x", retain=topic == STATE)
    serve(client, lambda: not client.pending)


@pytest.mark.parametrize("topic", [EVENT, STATE])
@pytest.mark.parametrize("complete", [0x92, 0x00])
def test_E56_message_that_is_refused_is_counted_and_reported_with_its_topic(
    connect: Callable[[RefusingBroker], Client], topic: str, complete: int
) -> None:
    with refusing_broker(complete=complete) as broker:
        client = connect(broker)
        publish(client, topic)
        assert client.n_refused == 1
        (refusal,) = client.take_refusals()
        assert refusal.error == "the broker refuses messages: not authorized"
        assert topic in refusal.hint
        assert client.take_refusals() == []


def test_E56_only_the_end_of_a_delivery_may_have_the_reason(connect: Callable[[RefusingBroker], Client]) -> None:
    with refusing_broker(publish=0x00) as broker:
        client = connect(broker)
        publish(client, EVENT)
        assert client.n_refused == 1
        assert "packet identifier not found" in client.take_refusals()[0].error


def test_E56_each_kind_is_reported_once(connect: Callable[[RefusingBroker], Client]) -> None:
    with refusing_broker(publish=0x97) as broker:
        client = connect(broker)
        for topic in (EVENT, STATE, EVENT):
            publish(client, topic)
        assert client.n_refused == 3
        assert [refusal.error for refusal in client.take_refusals()] == ["the broker refuses messages: quota exceeded"]


@pytest.mark.parametrize("reason", [0x00, 0x10])
def test_message_that_is_accepted_is_not_reported(connect: Callable[[RefusingBroker], Client], reason: int) -> None:
    with refusing_broker(publish=reason, complete=0x00) as broker:
        client = connect(broker)
        for topic in (EVENT, STATE):
            publish(client, topic)
        assert (client.n_refused, client.take_refusals()) == (0, [])


def test_E56_each_topic_that_cannot_be_subscribed_to_is_reported(connect: Callable[[RefusingBroker], Client]) -> None:
    with refusing_broker() as broker:
        client = connect(broker)
        client.subscribe(["home/pi/command", "homeassistant/status"])
        refusals: list[str] = []

        def has_both() -> bool:
            refusals.extend(each.error for each in client.take_refusals())
            return len(refusals) == 2

        serve(client, has_both)
        assert refusals == [
            "the broker refuses the subscription to home/pi/command: not authorized",
            "the broker refuses the subscription to homeassistant/status: not authorized",
        ]
        assert client.n_refused == 0


def test_E56_removal_reports_a_broker_that_does_not_let_it_read_the_topics() -> None:
    lines: list[str] = []
    with refusing_broker() as broker:
        Removal(request_to(broker), lines.append).run()
    ((word, details),) = (line.split(" ", 1) for line in lines)
    assert word == "offline"
    assert "refuses the subscription to home/pi/#: not authorized" in json.loads(details)["error"]
