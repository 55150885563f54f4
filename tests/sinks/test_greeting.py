from __future__ import annotations

import pytest
from msgspec import structs

from streamgmm.records import Gap, Hello, ModelChanged, R, Record, decode_json
from streamgmm.sinks.greeting import Greeting
from tests.narrowing import only
from tests.sinks.sink_rig import HELLO, end, message, start, status

MODEL = ModelChanged(seq=4, t=1.0, model=HELLO.model, labels=["door"], window_s=1.0, hop_s=0.1)


@pytest.mark.parametrize(
    ("published", "seqs"),
    [
        ([], []),
        ([HELLO], [0]),
        ([HELLO, start(1), start(2, "e2")], [0, 1, 2]),
        ([HELLO, start(1), start(2, "e2"), end(3)], [0, 2]),
        ([HELLO, start(1), end(2), end(3)], [0]),
        ([HELLO, status(1), start(2), status(3)], [0, 2, 3]),
        ([HELLO, MODEL, structs.replace(MODEL, seq=5)], [0, 5]),
        ([HELLO, Gap(seq=1, t=0.0, lost_samples=1, reason="suspend")], [0]),
        ([HELLO, start(1), structs.replace(HELLO, seq=2)], [2]),
    ],
)
def test_what_a_latecomer_is_told(published: list[Record], seqs: list[int]) -> None:
    greeting = Greeting()
    for record in published:
        greeting.update(message(record))
    assert [decode_json(line).seq for line in greeting.to_bytes().splitlines()] == seqs


def of(source: str, *records: R) -> list[R]:
    return [structs.replace(record, source=source) for record in records]


def test_each_of_several_sources_keeps_its_own_records_in_order_of_seq() -> None:
    first = [HELLO, structs.replace(start(3), seq=3)]
    second = [structs.replace(HELLO, seq=1), start(2), status(4)]
    greeting = Greeting()
    for record in sorted([*of("yard", *first), *of("kitchen", *second)], key=lambda record: record.seq):
        greeting.update(message(record))
    now = [*of("yard", status(0, "now")), *of("kitchen", status(0, "now"))]
    shown = [decode_json(line) for line in greeting.to_bytes(now).splitlines()]
    assert [(record.seq, record.source, type(record).__name__) for record in shown] == [
        (0, "yard", "Hello"),
        (0, "yard", "Status"),
        (1, "kitchen", "Hello"),
        (2, "kitchen", "Start"),
        (3, "yard", "Start"),
        (4, "kitchen", "Status"),
    ]


def test_a_source_without_a_status_any_more_is_left_out_and_the_hellos_name_the_others() -> None:
    greeting = Greeting()
    sources = ["yard", "kitchen", "hall"]
    for i, source in enumerate(sources):
        greeting.update(message(*of(source, structs.replace(HELLO, seq=i, sources=sources))))
    now = [*of("yard", status(0, "now")), *of("hall", status(0, "now"))]
    shown = [decode_json(line) for line in greeting.to_bytes(now).splitlines()]
    assert [(record.source, type(record).__name__) for record in shown] == [
        *[("yard", "Hello"), ("yard", "Status")],
        *[("hall", "Hello"), ("hall", "Status")],
    ]
    assert [hello.sources for hello in only(shown, Hello)] == [["yard", "hall"], ["yard", "hall"]]


def test_new_run_of_one_source_leaves_those_of_the_others() -> None:
    greeting = Greeting()
    for record in (*of("yard", HELLO), *of("kitchen", start(1)), *of("yard", structs.replace(HELLO, seq=2))):
        greeting.update(message(record))
    assert [decode_json(line).seq for line in greeting.to_bytes().splitlines()] == [1, 2]
