"""A greeting that tells how it stands now."""

from __future__ import annotations

import msgspec

from streamgmm.records import decode_json
from streamgmm.sinks.greeting import Greeting
from tests.sinks.sink_rig import HELLO, message, start, status

NOW = status(0, "now")


def greeted(*records, now=(NOW,)) -> list[tuple[str, int, str]]:
    greeting = Greeting()
    for record in records:
        greeting.update(message(record))
    lines = greeting.to_bytes(now).splitlines()
    shown = [decode_json(line) for line in lines]
    return [(type(record).__name__, record.seq, getattr(record, "detail", "")) for record in shown]


def test_it_takes_the_place_and_the_number_of_the_last_status() -> None:
    records = greeted(HELLO, status(3, "then"), start(4))
    assert records == [("Hello", 0, ""), ("Status", 3, "now"), ("Start", 4, "")]


def test_without_a_status_it_follows_the_hello() -> None:
    hello = msgspec.structs.replace(HELLO, seq=0)
    assert greeted(hello, start(4)) == [("Hello", 0, ""), ("Status", 0, "now"), ("Start", 4, "")]


def test_before_the_hello_there_is_nothing_to_greet_with() -> None:
    assert greeted() == []


def test_without_one_the_last_status_will_do() -> None:
    assert greeted(HELLO, status(3, "then"), now=())[1] == ("Status", 3, "then")
