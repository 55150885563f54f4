from __future__ import annotations

import msgspec

from streamgmm.cli.room_table import room_lines
from streamgmm.model.room_card import RoomCard


def test_levels_are_told_in_their_order_whatever_that_of_the_file():
    card = RoomCard(max_false_alarms_per_hour=5.0, recalls={"dog": {"0": 0.1, "12": 0.5, "20": 0.7, "6": 0.3}})
    lines = dict(room_lines({"room": msgspec.to_builtins(card)}))
    assert lines["room.found.dog"].startswith("10% at 0 dB, 30% at 6 dB, 50% at 12 dB, 70% at 20 dB above the room")


def test_a_card_without_a_room_has_no_lines():
    assert list(room_lines({})) == []
