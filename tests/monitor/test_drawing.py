"""The picture of a board: what is on it, and what gives way where there is little room."""

from __future__ import annotations

import msgspec
import pytest

from streamgmm.monitor.board import Board
from streamgmm.monitor.drawing import ASCII, BLOCKS, Size, answer_text, bar, connection_text, draw
from streamgmm.records import Dropped, Gap, RejectReason, Status
from tests.monitor.board_rig import LABELS, board_of, tree_of, window
from tests.sinks.sink_rig import HELLO, FakeClock, end, start, status


def shown(board: Board, width: int = 80, height: int = 24) -> list[str]:
    return [line.plain.rstrip() for line in draw(board, Size(width, height))]


def test_a_whole_screen() -> None:
    gap = Gap(t=3.0, source="mic", lost_samples=8000, reason="overload")
    board = board_of(status(1), end(2, "e0", "phone"), start(3), gap, window())
    assert shown(board, 60, 13) == [
        "connected  unix:///s",
        "mic  ok  lost 0.5 s (overload)  3 s  home",
        f"  level   -30.0  {'█' * 28}{'·' * 14}",
        f"  door     0.80  {'█' * 25}┃{'█' * 8}{'·' * 8}",
        f"  kettle   0.15  {'█' * 6}{'·' * 19}┃{'·' * 16}",
        f"  phone    0.05  {'█' * 2}{'·' * 23}┃{'·' * 16}",
        f"  rain     0.00  {'·' * 25}┃{'·' * 16}",
        "  sounding door since 1.5 s",
        "  answer door",
        "",
        "1.5 s  phone  1.8 s  0.90",
        "",
        "q quits",
    ]


def test_the_labels_keep_their_order_whatever_their_scores() -> None:
    board = board_of(window(scores={"door": 0.1, "kettle": 0.2, "phone": 0.3, "rain": 0.4}))
    names = [line.split()[0] for line in shown(board) if "┃" in line]
    assert names == LABELS


@pytest.mark.parametrize(
    ("reject", "says"),
    [
        ("silence", "rejected as silence: the level is below the gate"),
        ("background", "rejected as background: it resembles the background more than door"),
        ("unknown", "rejected as unknown: it resembles no label enough to be door"),
        ("nonfinite", "rejected as nonfinite: the features are not finite"),
    ],
)
def test_the_gate_that_rejected_is_named(reject: RejectReason, says: str) -> None:
    board = board_of(window(reject, reject=reject))
    assert answer_text(board.sources["mic"]) == says
    assert f"  {says}" in shown(board)


def test_without_windows_it_says_how_to_get_them() -> None:
    assert "  no window records: run the daemon with --windows" in "\n".join(shown(board_of(status(1))))


def test_a_microphone_that_is_gone_shows_why_and_no_old_scores() -> None:
    clock = FakeClock()
    board = board_of(window(), Status(t=3.0, source="mic", state="lost", detail="no device"), clock=clock)
    clock.now_s += 10.0
    assert shown(board)[1:4] == ["mic  lost  last level -30.0 dBFS  3 s  home", "  no device", ""]


def test_a_level_that_is_not_finite_is_said_so() -> None:
    assert "  level not finite" in shown(board_of(window(level_dbfs=float("nan"))))


def test_missed_records_are_in_the_title() -> None:
    assert shown(board_of(Dropped(t=1.0, count=3, from_seq=2)))[0] == "connected  3 records missed  unix:///s"


def test_the_connection_is_told_in_words() -> None:
    clock = FakeClock()
    board = Board("unix:///s", clock=clock)
    assert connection_text(board) == "connected, no record yet"
    board.apply(tree_of(HELLO))
    assert connection_text(board) == "connected"
    board.lose("gone", 2.0)
    assert connection_text(board) == "reconnecting in 2 s: gone"
    clock.now_s += 1.5
    assert connection_text(board) == "reconnecting: gone"
    board.is_over = True
    assert connection_text(board) == "ended"


def test_many_sources_get_a_line_each_and_the_rest_is_counted() -> None:
    board = Board("unix:///s")
    names = [f"s{i}" for i in range(9)]
    for name in names:
        board.apply(tree_of(msgspec.structs.replace(HELLO, source=name, sources=names)))
        board.apply(tree_of(msgspec.structs.replace(window(), source=name)))
    lines = shown(board, 80, 8)
    assert [line.split()[0] for line in lines[1:6]] == ["s0", "s1", "s2", "s3", "s4"]
    assert "door 0.80" in lines[1]
    assert lines[6:] == ["... and 4 more sources", "q quits"]


def test_twenty_columns_have_numbers_and_no_bars() -> None:
    board = board_of(status(1), window(), start(3))
    lines = shown(board, 20, 12)
    assert max(map(len, lines)) <= 20
    assert lines[1].startswith("mic  ok")
    assert "  door     0.80" in lines
    assert not any("█" in line for line in lines)


def test_a_long_name_leaves_its_state_on_the_screen() -> None:
    board = Board("unix:///s")
    name = "file:/a/very/long/path/of/a/recording.wav"
    board.apply(tree_of(msgspec.structs.replace(HELLO, source=name)))
    assert shown(board, 20)[1].startswith("file:/a/v…  running")


@pytest.mark.parametrize(
    ("share", "mark", "cells"),
    [
        (0.0, None, ".........."),
        (0.5, None, "#####....."),
        (1.0, 1.0, "#########|"),
        (2.0, 0.0, "|#########"),
        (-1.0, 0.5, ".....|...."),
        (0.3, 7.0, "###......|"),
    ],
)
def test_bars(share: float, mark: float | None, cells: str) -> None:
    assert bar(share, 10, ASCII, mark) == cells


def test_a_bar_without_cells_is_empty() -> None:
    assert bar(0.5, 0, BLOCKS, 0.5) == ""


def test_the_spectrum_has_a_column_for_each_band_where_a_line_is_left() -> None:
    board = board_of(window(spectrum_db=[-90, -45, 0, -120]))
    (line,) = [line for line in shown(board) if "spectrum" in line]
    assert line.endswith("  ▄█") or line.rstrip().endswith(" ▄█")
    assert not any("spectrum" in line for line in shown(board, height=5))
    assert not any("spectrum" in line for line in shown(board_of(window())))


@pytest.mark.parametrize("spectrum_db", [[None, "loud", {}], "x", 5, [1e300] * 10_000])
def test_a_spectrum_of_anything_is_drawn_or_left_out(spectrum_db: object) -> None:
    board = board_of(window())
    board.apply({"type": "window", "source": "mic", "t": 9.0, "level_dbfs": -20.0, "spectrum_db": spectrum_db})
    assert all(len(line) <= 80 for line in shown(board))
