from __future__ import annotations

import io
from dataclasses import replace

import msgspec
from rich.console import Console

from streamgmm.cli.room_table import room_lines, room_table, shown_threshold
from streamgmm.model.file import load_model
from streamgmm.model.room_card import RoomCard


def test_levels_are_told_in_their_order_whatever_that_of_the_file():
    card = RoomCard(max_false_alarms_per_hour=5.0, recalls={"dog": {"0": 0.1, "12": 0.5, "20": 0.7, "6": 0.3}})
    lines = dict(room_lines({"room": msgspec.to_builtins(card)}))
    assert lines["room.found.dog"].startswith("10% at 0 dB, 30% at 6 dB, 50% at 12 dB, 70% at 20 dB above the room")


def test_a_long_label_is_whole_in_a_narrow_table(demo_model):
    label = "a_label_of_as_many_characters_as_fit_hardly"
    card = RoomCard(
        max_false_alarms_per_hour=5.0,
        recalls={label: {"0": 0.1, "6": 0.3, "12": 0.5, "20": 0.7}},
        n_copies={label: 64},
    )
    model = replace(load_model(demo_model), card={"room": msgspec.to_builtins(card)})
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(room_table(model))
    cells = [line.split("│")[1].strip() for line in console.export_text().splitlines() if line.startswith("│")]
    assert "".join(cells) == label


def test_a_card_without_a_room_has_no_lines():
    assert list(room_lines({})) == []


def test_a_threshold_that_scores_reach_is_never_shown_as_one():
    assert [shown_threshold(threshold) for threshold in (0.5, 0.9996, 0.99996)] == ["0.5000", "0.9996", ">0.9999"]
