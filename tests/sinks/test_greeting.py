from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec import structs

from streamgmm.records import Bye, Gap, Hello, ModelChanged, R, Record, Status, decode_json
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


def bye(seq: int) -> Bye:
    return Bye(
        seq=seq,
        t=5.0,
        source="mic",
        reason="changed",
        captured_samples=0,
        analysed_samples=0,
        lost_samples=0,
        in_flight_samples=0,
    )


def greeted_after(after_seq: int, now: Iterable[Status], *published: Record) -> list[tuple[int, str, str, str]]:
    """Number, source, type and detail of each record of a greeting whose statuses were collected after `after_seq`."""
    greeting = Greeting()
    for record in published:
        greeting.update(message(record))
    shown = [decode_json(line) for line in greeting.to_bytes(now, after_seq=after_seq).splitlines()]
    return [(each.seq, each.source, type(each).__name__, getattr(each, "detail", "")) for each in shown]


HELLO_OF_MIC = (0, "mic", "Hello", "")
NOW = status(0, "collected")


def test_status_that_was_published_while_statuses_were_collected_is_the_newer_one() -> None:
    assert greeted_after(1, [NOW], HELLO, status(1, "before"), status(2, "meanwhile")) == [
        HELLO_OF_MIC,
        (2, "mic", "Status", "meanwhile"),
    ]
    assert greeted_after(2, [NOW], HELLO, status(1), status(2, "before")) == [
        HELLO_OF_MIC,
        (2, "mic", "Status", "collected"),
    ]


def test_source_whose_hello_came_while_statuses_were_collected_is_not_left_out() -> None:
    sources = ["mic", "yard"]
    (hello,) = of("yard", structs.replace(HELLO, seq=2, sources=sources))
    (its_status,) = of("yard", status(3, "meanwhile"))
    published = [structs.replace(HELLO, sources=["mic"]), status(1), hello, its_status]
    assert greeted_after(1, [NOW], *published) == [
        HELLO_OF_MIC,
        (1, "mic", "Status", "collected"),
        (2, "yard", "Hello", ""),
        (3, "yard", "Status", "meanwhile"),
    ]
    greeting = Greeting()
    for record in published:
        greeting.update(message(record))
    hellos = only(map(decode_json, greeting.to_bytes([NOW], after_seq=1).splitlines()), Hello)
    assert [each.sources for each in hellos] == [sources, sources]


def test_status_of_a_source_before_it_was_replaced_is_not_that_of_the_new_one() -> None:
    again = structs.replace(HELLO, seq=3)
    assert greeted_after(1, [NOW], HELLO, status(1), bye(2), again) == [(3, "mic", "Hello", "")]
    assert greeted_after(1, [NOW], HELLO, status(1), bye(2), again, status(4, "new")) == [
        (3, "mic", "Hello", ""),
        (4, "mic", "Status", "new"),
    ]


@pytest.mark.parametrize(("after_seq", "byes"), [(1, [(2, "mic", "Bye", "")]), (2, [])])
def test_end_of_a_source_is_told_if_it_came_while_statuses_were_collected(
    after_seq: int, byes: list[tuple[int, str, str, str]]
) -> None:
    shown = greeted_after(after_seq, [NOW], HELLO, status(1), bye(2))
    assert shown == [HELLO_OF_MIC, (1, "mic", "Status", "collected"), *byes]


def test_new_run_of_one_source_leaves_those_of_the_others() -> None:
    greeting = Greeting()
    for record in (*of("yard", HELLO), *of("kitchen", start(1)), *of("yard", structs.replace(HELLO, seq=2))):
        greeting.update(message(record))
    assert [decode_json(line).seq for line in greeting.to_bytes().splitlines()] == [1, 2]
