"""The lines of the plain mode."""

from __future__ import annotations

import msgspec

from streamgmm.monitor.board import Board
from streamgmm.monitor.lines import LinePrinter
from streamgmm.records import Dropped, Gap, Record
from tests.monitor.board_rig import LABELS, tree_of, window
from tests.sinks.sink_rig import HELLO, end, start, status


def lines_of(*records: Record) -> list[str]:
    lines: list[str] = []
    printer = LinePrinter(Board("unix:///s"), lines.append)
    for record in records:
        printer.apply(tree_of(record))
    return lines


def test_each_change_is_a_line() -> None:
    gap = Gap(t=3.0, source="mic", lost_samples=8000, reason="overload")
    assert lines_of(HELLO, status(1, "audio flows"), start(2), end(3), gap, Dropped(t=1.0, count=3, from_seq=2)) == [
        "0.0 s  mic  hello  home: door, kettle",
        "0.1 s  mic  ok: audio flows",
        "2.0 s  mic  start  door  0.75  threshold 0.60",
        "4.0 s  mic  end  door  1.8 s  0.90",
        "3.0 s  mic  gap  lost 0.5 s (overload)",
        "3 records missed: this program was too slow",
    ]


def test_windows_are_a_line_a_second_and_again_from_the_start_of_a_new_run() -> None:
    windows = [window(t=t) for t in (1.0, 1.5, 1.99, 2.0, 2.5, 3.1, 0.1, 0.5, 1.2)]
    times = [line.partition(" ")[0] for line in lines_of(HELLO, *windows)[1:]]
    assert times == ["1.0", "2.0", "3.1", "0.1", "1.2"]


def test_a_window_shows_the_best_three_against_their_thresholds() -> None:
    thresholds = dict.fromkeys(LABELS[1:], 0.6)
    (line,) = lines_of(HELLO, window("background", reject="background", thresholds=thresholds))[1:]
    assert line == (
        "3.0 s  mic  level -30.0 dBFS  door 0.80  kettle 0.15/0.60  phone 0.05/0.60  "
        "rejected as background: it resembles the background more than door"
    )


def test_a_dated_record_has_the_time_of_day() -> None:
    (line,) = lines_of(msgspec.structs.replace(HELLO, time="2026-01-31T12:00:04.512Z"))
    moment = line.split()[0]
    assert len(moment) == 8
    assert moment.endswith(":04")


def test_a_lost_connection_is_a_line() -> None:
    lines: list[str] = []
    LinePrinter(Board("unix:///s"), lines.append).lose("gone", 0.25)
    assert lines == ["reconnecting in 0.2 s: gone"]
