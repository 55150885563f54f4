"""Retained topics that follow from records."""

from __future__ import annotations

import json

from msgspec import structs

from streamgmm.records import AnyRecord, Bye, ModelChanged, encode_json
from streamgmm.sinks.mqtt.mirror import Mirror
from streamgmm.sinks.mqtt.protocol import Request
from streamgmm.sinks.mqtt.topics import Topics
from tests.sinks.sink_rig import HELLO, end, start, status

TOPICS = Topics("home", "pi", "")
DOOR, KETTLE = TOPICS.state("mic", "door"), TOPICS.state("mic", "kettle")


def mirror(*records: AnyRecord, topics: Topics = TOPICS, **settings: tuple[str, ...]) -> Mirror:
    mirror = Mirror(Request(host="h", port=1, topics=topics, version="1", **settings))  # type: ignore[arg-type]
    for record in records:
        mirror.apply(record, encode_json(record)[:-1])
    return mirror


def test_labels_are_off_until_an_event_starts_and_after_it_has_ended() -> None:
    assert mirror(HELLO).to_payloads() == {DOOR: b"OFF", KETTLE: b"OFF"}
    assert mirror(HELLO, start(1)).to_payloads() == {DOOR: b"ON", KETTLE: b"OFF"}
    assert mirror(HELLO, start(1), end(2)).to_payloads() == {DOOR: b"OFF", KETTLE: b"OFF"}


def test_label_stays_on_while_one_of_two_events_is_open() -> None:
    assert mirror(HELLO, start(1), start(2, "e2"), end(3)).to_payloads()[DOOR] == b"ON"


def test_reserved_labels_and_those_that_are_not_wanted_have_no_topic() -> None:
    hello = structs.replace(HELLO, labels=["background", "door", "kettle", "silence", "unknown"])
    assert mirror(hello).to_payloads().keys() == {DOOR, KETTLE}
    assert mirror(hello, labels=("door",)).to_payloads().keys() == {DOOR}
    assert mirror(hello, sources=("yard",)).to_payloads() == {}


def test_another_model_brings_and_takes_labels() -> None:
    model = ModelChanged(t=1.0, source="mic", model=HELLO.model, labels=["door", "siren"], window_s=1.0, hop_s=0.1)
    followed = mirror(HELLO, topics=TOPICS._replace(discovery="ha"))
    before = json.loads(followed.to_payloads()[TOPICS._replace(discovery="ha").config])["components"]
    followed.apply(model, b"")
    payloads = followed.to_payloads()
    after = json.loads(payloads[TOPICS._replace(discovery="ha").config])["components"]
    (gone,) = [key for key, each in before.items() if each["name"] == "kettle"]
    assert after[gone] == {"platform": "binary_sensor"}
    assert {DOOR, TOPICS.state("mic", "siren")} <= payloads.keys()
    assert KETTLE not in payloads


def test_end_of_a_source_and_of_the_daemon_turn_all_off() -> None:
    bye = Bye(
        t=3.0, source="mic", reason="x", captured_samples=0, analysed_samples=0, lost_samples=0, in_flight_samples=0
    )
    assert mirror(HELLO, start(1), bye).to_payloads()[DOOR] == b"OFF"
    followed = mirror(HELLO, start(1))
    followed.end()
    assert followed.to_payloads()[DOOR] == b"OFF"


def test_health_is_the_latest_status() -> None:
    payloads = mirror(HELLO, status(1), status(2)).to_payloads()
    assert payloads[TOPICS.health("mic")] == encode_json(status(2))[:-1]


def test_records_of_an_unknown_source_change_nothing() -> None:
    assert mirror(start(1), status(2), end(3)).to_payloads() == {}


def test_it_is_complete_once_every_source_has_said_hello() -> None:
    one = structs.replace(HELLO, source="a", sources=["a", "b"])
    other = structs.replace(one, source="b")
    assert [mirror().is_complete, mirror(one).is_complete, mirror(one, other).is_complete] == [False, False, True]
    assert mirror(one, sources=("a",)).is_complete
    assert mirror(HELLO).is_complete
