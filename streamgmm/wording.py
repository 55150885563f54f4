"""Parts of messages for users: suggestions, shortened and escaped texts."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable

_MAX_MATCHED_CHARACTERS = 64

TOKEN_WANTED = "the first line has to be the token"
"""Message of the `error` record for a client that did not send the token; clients recognise it."""


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return `did you mean X?` for the candidate most similar to `word`; empty if none is similar."""
    # Matching takes quadratic time, and no real key is this long.
    matches = difflib.get_close_matches(word[:_MAX_MATCHED_CHARACTERS], list(candidates), n=1)
    return f"did you mean {matches[0]}?" if matches else ""


def shorten(text: str, max_characters: int = 40) -> str:
    """Return `text`, cut to `max_characters` with an ellipsis."""
    return text if len(text) <= max_characters else text[: max_characters - 1] + "…"


def escaped(text: str) -> str:
    """Return `text` with escapes for all characters that are not printable, so that it fits one line of a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_json(text: str) -> str:
    """Return JSON text with JSON's own escapes for characters that are not printable: it means the same."""
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def as_flow(value: str | bool | list[str] | dict[str, str]) -> str:
    """Return `value` in YAML's flow style, on one line and without a character that is not printable."""
    # JSON is YAML, but lets some characters pass that YAML does not: DEL, the byte order mark, line separators.
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)
