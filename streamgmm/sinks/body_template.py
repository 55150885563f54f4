"""The body of a request from a template of the user: `$label`, `$score` and other fields of a record."""

from __future__ import annotations

import json
from collections.abc import Iterable
from string import Template
from typing import Any

import msgspec

from streamgmm.errors import ConfigError
from streamgmm.records import Record
from streamgmm.wording import did_you_mean

MAX_TEMPLATE_CHARACTERS = 16_384


class BodyTemplate:
    """Fills a template with the fields of records.

    A template that is JSON stays JSON, whatever a label holds: texts are escaped, and a field that a record does not
    have is null. In any other template, such a field is empty.

    Args:
        text: with `$NAME` or `${NAME}` for the field NAME, and `$$` for a dollar sign.

    Attributes:
        content_type: for the header of the request.

    Raises:
        ConfigError: a `$` begins no name, or no record has a field of that name.
    """

    def __init__(self, text: str) -> None:
        self._template = Template(text)
        if len(text) > MAX_TEMPLATE_CHARACTERS:
            raise _error(f"has {len(text)} characters, at most {MAX_TEMPLATE_CHARACTERS} are allowed")
        if not self._template.is_valid():
            raise _error("a $ stands before no name; write $$ for a dollar sign")
        self._names = self._template.get_identifiers()
        fields = field_names()
        for name in sorted(set(self._names) - fields):
            hint = did_you_mean(name, fields)
            raise _error(f"no record has a field '{name}'{f', {hint}' if hint else ''}")
        self._is_json = _is_json(self._template.substitute(dict.fromkeys(self._names, "0")))
        self.content_type = "application/json" if self._is_json else "text/plain; charset=utf-8"

    def fill(self, line: bytes) -> bytes:
        """Return the body for a record, which is a line of JSON."""
        record: dict[str, Any] = json.loads(line)
        words = {name: self._word(record.get(name)) for name in self._names}
        return self._template.substitute(words).encode()

    def _word(self, value: Any) -> str:
        if isinstance(value, str):
            # Without the quotes, which are those of the template.
            return json.dumps(value, ensure_ascii=False)[1:-1] if self._is_json else value
        if value is None:
            return "null" if self._is_json else ""
        return json.dumps(value)


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
