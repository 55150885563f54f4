"""The body of a request from a template of the user: `$label`, `$score` and other fields of a record."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from string import Template
from typing import Any, NamedTuple

import msgspec

from streamgmm.errors import ConfigError
from streamgmm.records import Record
from streamgmm.wording import did_you_mean

MAX_TEMPLATE_CHARACTERS = 16_384


class _Part(NamedTuple):
    """A part of a template: words as they are, then the field that follows them.

    Attributes:
        words: text before the field.
        field: name of the field; empty at the end.
        is_in_text: whether the field stands between the quotes of a text of JSON.
    """

    words: str
    field: str
    is_in_text: bool


class BodyTemplate:
    """Fills a template with the fields of records.

    A template that is JSON stays JSON, whatever a label holds: between quotes a field is text, elsewhere it is a value
    of JSON. A field that a record does not have is empty in a text, and null elsewhere.

    Args:
        text: with `$NAME` or `${NAME}` for the field NAME, and `$$` for a dollar sign.

    Attributes:
        content_type: for the header of the request.

    Raises:
        ConfigError: a `$` begins no name, or no record has a field of that name.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_TEMPLATE_CHARACTERS:
            raise _error(f"has {len(text)} characters, at most {MAX_TEMPLATE_CHARACTERS} are allowed")
        if not Template(text).is_valid():
            raise _error("a $ stands before no name; write $$ for a dollar sign")
        self._parts = _parts_of(text)
        fields = field_names()
        for name in sorted({part.field for part in self._parts} - fields - {""}):
            hint = did_you_mean(name, fields)
            raise _error(f"no record has a field '{name}'{f', {hint}' if hint else ''}")
        # A record without any of the fields tells: what others add is valid in the same places.
        self._is_json = True
        self._is_json = _is_json(self.fill(b"{}").decode())
        self.content_type = "application/json" if self._is_json else "text/plain; charset=utf-8"

    def fill(self, line: bytes) -> bytes:
        """Return the body for a record, which is a line of JSON."""
        record: dict[str, Any] = json.loads(line)
        return "".join(part.words + self._value(record, part) for part in self._parts).encode()

    def _value(self, record: dict[str, Any], part: _Part) -> str:
        if not part.field:
            return ""
        value = record.get(part.field)
        if self._is_json and not part.is_in_text:
            return json.dumps(value)
        text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
        # Without the quotes, which are those of the template.
        return json.dumps(text, ensure_ascii=False)[1:-1] if self._is_json else text


def _parts_of(text: str) -> list[_Part]:
    parts, words, end = [], "", 0
    before = ""  # all words so far, of which the quotes tell whether a text is open
    for found in Template.pattern.finditer(text):
        words += text[end : found.start()]
        end = found.end()
        if found["escaped"]:
            words += "$"
            continue
        before += words
        n_quotes = len(re.findall(r'"', re.sub(r"\\.", "", before)))
        parts.append(_Part(words, found["named"] or found["braced"], n_quotes % 2 == 1))
        words = ""
    return [*parts, _Part(words + text[end:], "", False)]


def field_names() -> set[str]:
    """Return the names of the fields of all records."""
    return set(_fields_of([Record])) | {"type"}


def _fields_of(kinds: Iterable[type[Record]]) -> Iterable[str]:
    for kind in kinds:
        yield from (field.encode_name for field in msgspec.structs.fields(kind))
        yield from _fields_of(kind.__subclasses__())


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _error(what: str) -> ConfigError:
    return ConfigError([f"output.sinks: body: {what}"])
