"""Boards that have seen some records."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from streamgmm.monitor.board import Board
from streamgmm.records import Record, Window, encode_json
from tests.sinks.sink_rig import HELLO, FakeClock

LABELS = ["door", "kettle", "phone", "rain"]


def tree_of(record: Record) -> dict[str, Any]:
    """A record as it comes out of a connection."""
    tree: dict[str, Any] = json.loads(encode_json(record))
    return tree


def window(label: str = "door", **changes: Any) -> Window:
    settings: dict[str, Any] = {
        "t": 3.0,
        "source": "mic",
        "label": label,
        "score": 0.8,
        "scores": {"door": 0.8, "kettle": 0.15, "phone": 0.05, "rain": 0.0},
        "llr": 4.0,
        "level_dbfs": -30.0,
        "thresholds": dict.fromkeys(LABELS, 0.6),
    }
    return Window(**settings | changes)


def board_of(*records: Record, clock: FakeClock | None = None) -> Board:
    """A board that was greeted, and has seen `records`."""
    board = Board("unix:///s", clock=clock or FakeClock())
    for record in (msgspec.structs.replace(HELLO, labels=LABELS), *records):
        board.apply(tree_of(record))
    return board
