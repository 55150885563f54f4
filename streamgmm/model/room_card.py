"""The part of a model's card that tells how its labels are found in a room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class RoomCard(msgspec.Struct, frozen=True, kw_only=True):
    """What held-out copies of the training clips, within other sound, told of the thresholds of a training.

    Attributes:
        max_false_alarms_per_hour: the budget that the thresholds were chosen by.
        recalls: share of the copies found, by label and level above the other sound (dB); none after a tuning, which
            replaces the thresholds.
        n_copies: number of these copies, by label.
        peaks: of copies clearly above the other sound, by label: the highest onset threshold that finds each, rising.
    """

    max_false_alarms_per_hour: float
    recalls: dict[str, dict[str, float]] = {}
    n_copies: dict[str, int] = {}
    peaks: dict[str, list[float]] = {}


def room_card(card: Mapping[str, Any]) -> RoomCard | None:
    """Return what a card tells of the room; None if nothing, or in another form."""
    try:
        return msgspec.convert(card.get("room"), RoomCard)
    except msgspec.ValidationError:  # a card is free-form
        return None
