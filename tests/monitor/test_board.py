"""What a board keeps of records, also of those that no daemon would send."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgmm.monitor.board import MAX_OPEN_EVENTS, MAX_PAST_EVENTS, MAX_SOURCES, Board
from streamgmm.monitor.drawing import Size, draw
from streamgmm.monitor.fields import MAX_CHARACTERS, Fields
from streamgmm.monitor.lines import LinePrinter
from streamgmm.records import Bye, Dropped, Error, Gap, Heartbeat, ModelChanged, ModelInfo, Status, Update
from tests.monitor.board_rig import LABELS, board_of, tree_of, window
from tests.sinks.sink_rig import HELLO, FakeClock, end, start, status
from tests.test_records import EXAMPLES, HEALTH

OTHER_MODEL = ModelInfo(name="other", version="1", sha256="1" * 64)


def test_a_window_gives_level_scores_thresholds_and_answer() -> None:
    view = board_of(window("background", reject="background")).sources["mic"]
    assert (view.level_dbfs, view.answer, view.reject, view.best_label) == (-30.0, "background", "background", "door")
    assert view.scores["kettle"] == 0.15
    assert view.thresholds == dict.fromkeys(LABELS, 0.6)


def test_a_window_describes_the_present_for_three_seconds() -> None:
    clock = FakeClock()
    board = board_of(window(), clock=clock)
    clock.now_s += 3.0
    assert board.is_fresh(board.sources["mic"])
    clock.now_s += 0.1
    assert not board.is_fresh(board.sources["mic"])


def test_an_event_is_open_until_its_end() -> None:
    update = Update(t=3.0, source="mic", id="e1", label="door", score=0.8, max_score=0.9, duration_s=1.0)
    board = board_of(start(1), update)
    assert board.sources["mic"].events["e1"].max_score == 0.9
    assert board.sources["mic"].thresholds["door"] == 0.6
    board.apply(tree_of(end(2)))
    assert board.sources["mic"].events == {}
    assert [(event.label, event.duration_s, event.max_score) for event in board.past] == [("door", 1.75, 0.9)]


def test_losses_are_those_of_the_status_and_of_later_gaps() -> None:
    lossy = Status(t=1.0, source="mic", state="ok", detail="", health=HEALTH)
    board = board_of(lossy, Gap(t=2.0, source="mic", lost_samples=5, reason="suspend"))
    assert board.sources["mic"].lost_samples == {"overload": 1, "suspend": 12}
    assert board.sources["mic"].level_dbfs == -30.0


def test_a_status_without_health_changes_no_number() -> None:
    board = board_of(window(), status(2))
    assert board.sources["mic"].level_dbfs == -30.0


def test_another_model_has_other_labels_and_no_scores_yet() -> None:
    change = ModelChanged(t=4.0, source="mic", model=OTHER_MODEL, labels=["siren"], window_s=1.0, hop_s=0.1)
    view = board_of(window(), change).sources["mic"]
    assert (view.model, view.labels, view.scores, view.thresholds) == ("other", ["siren"], {}, {})


def test_a_new_run_keeps_ended_events_alone() -> None:
    board = board_of(start(1), end(2), start(3, "e3"))
    board.apply(tree_of(msgspec.structs.replace(HELLO, run_id="r2")))
    assert board.sources["mic"].events == {}
    assert len(board.past) == 1


def test_a_hello_that_no_longer_names_a_source_removes_it() -> None:
    board = Board("tcp://h:1")
    for names, own in ((["a", "b"], "a"), (["a", "b"], "b"), (["a", "c"], "c")):
        board.apply(tree_of(msgspec.structs.replace(HELLO, source=own, sources=names)))
    assert list(board.sources) == ["a", "c"]


def test_a_source_that_has_ended_is_shown_as_such() -> None:
    bye = Bye(
        t=9.0, source="mic", reason="x", captured_samples=1, analysed_samples=1, lost_samples=0, in_flight_samples=0
    )
    view = board_of(start(1), bye).sources["mic"]
    assert (view.state, view.detail, view.events) == ("ended", "x", {})


HEARTBEAT = Heartbeat(t=1.0, source="mic", captured_samples=1, analysed_samples=1, lost_samples=0)


@pytest.mark.parametrize("record", [window(), start(1), HEARTBEAT])
def test_a_recording_is_running_once_there_is_a_sign_of_it(record: Any) -> None:
    starting = Status(t=0.0, source="mic", state="starting", detail="no sound yet")
    assert board_of(starting).sources["mic"].state == "starting"
    assert board_of(starting, record).sources["mic"].state == "running"


def test_missed_records_and_errors_concern_the_reader() -> None:
    board = board_of(
        Dropped(t=1.0, count=3, from_seq=2), Dropped(t=1.0, count=4, from_seq=9), Error(t=1.0, message="m")
    )
    assert (board.n_dropped, board.notice) == (7, "m")
    assert list(board.sources) == ["mic"]


def test_a_lost_connection_is_found_again_with_the_next_record() -> None:
    board = board_of()
    board.lose("gone", 2.0)
    assert (board.failure, board.retry_s) == ("gone", board.clock() + 2.0)
    board.apply(tree_of(status(1)))
    assert board.failure == ""


def test_what_is_kept_is_limited() -> None:
    board = board_of(*(start(i, f"e{i}") for i in range(MAX_OPEN_EVENTS + 10)))
    assert len(board.sources["mic"].events) == MAX_OPEN_EVENTS
    for i in range(MAX_PAST_EVENTS + 10):
        board.apply(tree_of(end(i)))
    assert len(board.past) == MAX_PAST_EVENTS
    for i in range(MAX_SOURCES + 10):
        board.apply({"type": "status", "source": f"s{i}"})
    assert len(board.sources) == MAX_SOURCES


# Chosen by hand: to make up trees of JSON takes hypothesis longer than to show them.
ODD: list[Any] = [
    *(None, True, -1, 0.5, 1e308, 10**400, math.nan, -math.inf),
    *("", "a", "\x1b[2J", "x" * 300, "\u202e\U0001f514", "2026-01-31T12:00:00Z", "9999-12-31T23:59:59Z"),
    *([], ["a", None], {}, {"a": None, "b": 2.0, "c": "d"}, {"level_dbfs": "loud", "lost_samples": {"a": -5, "b": {}}}),
]


@st.composite
def odd_records(draw_from: st.DrawFn) -> dict[str, Any]:
    """Records of any type, some of whose fields are missing or hold anything."""
    record = tree_of(EXAMPLES[draw_from(st.sampled_from(sorted(EXAMPLES)))][0])
    for key in draw_from(st.lists(st.sampled_from(sorted(record)), max_size=6)):
        record[key] = draw_from(st.sampled_from(ODD))
    for key in draw_from(st.lists(st.sampled_from(sorted(record)), max_size=2)):
        record.pop(key, None)
    return record


@settings(deadline=None)
@given(st.lists(odd_records(), max_size=8), st.integers(1, 130), st.integers(1, 40))
def test_whatever_comes_can_be_shown_on_any_terminal(records: list[dict[str, Any]], width: int, height: int) -> None:
    board, lines = Board("unix:///s"), list[str]()
    printer = LinePrinter(Board("unix:///s"), lines.append)
    for record in records:
        board.apply(record)
        printer.apply(record)
        drawn = draw(board, Size(width, height))
        assert len(drawn) <= height
        assert all(line.cell_len <= width and line.plain.isprintable() for line in drawn)
    assert all(map(str.isprintable, lines))


def test_fields_of_other_types_read_as_empty() -> None:
    fields = Fields({"a": 1, "b": "x", "c": {"d": None, "e": True, "f": 2}, "g": math.inf, "h": 10**400, "i": [1, "y"]})
    assert (fields.text("a"), fields.text("none"), fields.text("b")) == ("", "", "x")
    assert [fields.number(key) for key in "abcgh"] == [1.0, None, None, None, None]
    assert fields.numbers("c") == {"f": 2.0}
    assert (fields.numbers("a"), fields.texts("i"), fields.texts("b")) == ({}, ["", "y"], [])
    assert fields.within("b").text("x") == ""


def test_texts_cannot_harm_a_terminal() -> None:
    assert Fields({"a": "\x1b[2J\n"}).text("a") == "\\x1b[2J\\n"
    assert len(Fields({"a": "x" * 10_000}).text("a")) == MAX_CHARACTERS


@pytest.mark.parametrize("time", ["yesterday", "", None, 7, "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00Z"])
def test_a_moment_without_a_valid_date_is_a_stream_time(time: object) -> None:
    assert Fields({"time": time, "t": 2.25}).moment("") in ("2.2 s", "23:59:59", "00:00:00")
    assert Fields({"start_time": "x"}).moment("start") == ""
