"""What is kept of the records, and words that two places must spell alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs

from streamgmm.records import AnyRecord, Dropped, Status, Window
from streamgmm.service import health
from streamgmm.sinks.web import metrics, sources
from streamgmm.sinks.web.sources import MAX_KEPT, Sources
from tests.sinks.sink_rig import HELLO, end, message, start, status


def apply(kept: Sources, *records: AnyRecord) -> None:
    for record in records:
        kept.apply(record, message(record).line[:-1])


def test_states_are_those_of_the_service() -> None:
    assert sources.HEARING_STATES == health.HEARING_STATES
    assert (*health.STATES, "ended") == metrics.STATES


def test_record_that_waited_changes_no_state_but_is_kept() -> None:
    kept = Sources("1")
    kept.greet([HELLO, structs.replace(status(4), detail="now")], 4)
    apply(kept, HELLO, start(1), end(2), status(3, "then"))
    assert kept.by_name["mic"].open_events == {}
    assert isinstance(last := kept.by_name["mic"].status, Status)
    assert last.detail == "now"
    assert [each.seq for each in kept.since(-1)[0]] == [0, 1, 2]


def window(seq: int, t: float) -> Window:
    return Window(seq=seq, t=t, source="mic", label="door", score=0.5, scores={}, llr=None, level_dbfs=-50.0)


def test_greeting_keeps_the_window_of_a_source_that_goes_on() -> None:
    kept = Sources("1")
    apply(kept, HELLO, window(1, 900.0))
    kept.greet([HELLO, status(2)], 2)
    assert kept.by_name["mic"].window == window(1, 900.0)


@pytest.mark.parametrize("changes", [{"seq": 5}, {"run_id": "another"}])
def test_greeting_drops_the_window_of_a_source_that_began_again(changes: dict[str, Any]) -> None:
    kept = Sources("1")
    apply(kept, HELLO, window(1, 900.0))
    kept.greet([structs.replace(HELLO, **changes), status(6)], 6)
    assert kept.by_name["mic"].window is None


def test_window_that_waited_since_before_the_hello_is_not_taken() -> None:
    kept = Sources("1")
    kept.greet([structs.replace(HELLO, seq=5), status(6)], 6)
    apply(kept, window(4, 900.0))
    assert kept.by_name["mic"].window is None
    apply(kept, window(5, 0.1))
    assert kept.by_name["mic"].window == window(5, 0.1)
    assert json.loads(kept.to_json())["sources"][0]["hello_seq"] == 5


def test_history_says_whether_it_is_complete() -> None:
    kept = Sources("1")
    kept.greet([HELLO], 10)
    assert (kept.since(9)[1], kept.since(10)[1]) == (False, True)
    apply(kept, start(11), end(12))
    assert (kept.since(9)[1], kept.since(10)[1]) == (False, True)
    apply(kept, Dropped(seq=13, t=5.0, source="mic", count=7, from_seq=13), start(20, "e2"))
    assert (kept.since(12)[1], kept.since(19)[1]) == (False, True)


def test_history_is_bounded() -> None:
    kept = Sources("1")
    apply(kept, HELLO, *(start(seq, f"e{seq}") for seq in range(1, 2 * MAX_KEPT)))
    records, is_complete = kept.since(-1)
    assert (len(records), is_complete) == (MAX_KEPT, False)
    assert kept.since(records[0].seq - 1) == (records, True)


def test_not_ready_before_all_sources_have_introduced_themselves() -> None:
    kept = Sources("1")
    hello = structs.replace(HELLO, sources=["mic", "yard"])
    apply(kept, hello, status(1))
    assert not kept.is_ready
    apply(kept, structs.replace(hello, seq=2, source="yard", is_required=False))
    assert kept.is_ready
