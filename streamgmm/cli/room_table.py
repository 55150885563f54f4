"""Tell what the thresholds of a training leave in a room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from streamgmm.model.model import Model
from streamgmm.model.room_card import room_card

HIGHEST_SHOWN = 0.99995
"""Thresholds above this value are shown as `>0.9999`."""


def shown_threshold(threshold: float) -> str:
    """Return a threshold as text, never as 1, which no score would reach."""
    return ">0.9999" if threshold > HIGHEST_SHOWN else f"{threshold:.4f}"


def room_table(model: Model) -> Table | None:
    """Return a row per class: its threshold, and how much is found at which level above the room; None if not known."""
    room = room_card(model.card)
    if room is None or not room.recalls:
        return None
    levels = sorted({level for recalls in room.recalls.values() for level in recalls}, key=float)
    budget = f"{room.max_false_alarms_per_hour:g} false alarms an hour in a busy place, a fifth of that at home"
    table = Table(title=f"Found in the room, by the level above it ({budget})")
    # Folded and not cut: what is read here is typed into settings.
    table.add_column("class", overflow="fold")
    for heading in ("threshold", "copies", *(f"{level} dB" for level in levels)):
        table.add_column(heading, justify="right")
    for label, recalls in room.recalls.items():
        section = model.decision.get(label)
        threshold = None if section is None else section.onset_threshold
        shares = (f"{recalls[level]:.0%}" if level in recalls else "-" for level in levels)
        table.add_row(
            Text(label),
            "" if threshold is None else shown_threshold(threshold),
            str(room.n_copies.get(label, "-")),
            *shares,
        )
    return table


def room_lines(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a key and a line of text for each class, as `model show` prints them."""
    room = room_card(card)
    if room is None or not room.recalls:
        return
    yield "room.max_false_alarms_per_hour", f"{room.max_false_alarms_per_hour:g}, in a busy place"
    for label, recalls in room.recalls.items():
        # In a model file the levels are in the order of text.
        shares = ", ".join(f"{recalls[level]:.0%} at {level} dB" for level in sorted(recalls, key=float))
        yield f"room.found.{label}", f"{shares} above the room ({room.n_copies.get(label, 0)} copies)"
