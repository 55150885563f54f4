"""Pieces of messages for people: what was meant, cut short."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MAX_MATCHED_CHARACTERS = 64


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """`did you mean X?` for the candidate most like `word`; empty if none is like it."""
    # Matching is quadratic, and nobody mistypes a key by a thousand letters.
    matches = difflib.get_close_matches(word[:_MAX_MATCHED_CHARACTERS], list(candidates), n=1)
    return f"did you mean {matches[0]}?" if matches else ""


def shorten(text: str, max_characters: int = 40) -> str:
    """`text`, cut with an ellipsis so that it fits a message."""
    return text if len(text) <= max_characters else text[: max_characters - 1] + "…"
