"""A strict subset of YAML: text that readers could interpret differently is an error, with its place.

YAML 1.1 and 1.2 disagree about `no`, `012`, `12:30:45` and more; such plain words must be quoted. Aliases, anchors,
tags, merge keys and duplicate keys are errors. Size, depth and number of values are limited while the text is read, so
that every input is read in a short time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import yaml
from yaml import events
from yaml.reader import Reader

from streamgmm.errors import ConfigError
from streamgmm.wording import escaped, shorten

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_VALUES = 10_000
MAX_YAML_PROBLEMS = 50
MAX_TEXT_CHARACTERS = 300

Scalar = str | int | float | bool | None
Value = Scalar | dict[str, "Node"] | list["Node"]
PlaceOf = Callable[[int, int], str]

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}
_SURPRISES = [
    (re.compile(r"y|n|yes|no|on|off", re.IGNORECASE), "true or false", "write true or false"),
    (re.compile(r"[-+]?0[0-9_]+"), "an octal number", "write it without leading zeros"),
    (re.compile(r"[-+]?0[xob][0-9a-f_]+", re.IGNORECASE), "a number in another base", "write it in decimal"),
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"), "a number in base 60", "write a decimal number"),
    (re.compile(r"[-+]?[0-9.]+_[0-9_.]*"), "a number", "write it without _"),
    (re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ]+[0-9].*)?"), "a date", ""),
]
"""Words that YAML 1.1 and 1.2 read differently: pattern, other reading, and alternative to quotes."""

_NOT_FINITE = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)
_LINE_BREAK = re.compile("\r\n?|[\n\x85\u2028\u2029]")
# An escape such as "\ud800" passes the parser, but cannot be encoded as UTF-8 later.
_SURROGATE = re.compile("[\ud800-\udfff]")
_LARGEST_INTEGER = 2**63
# Limits the time of the patterns and of conversions: a longer word is text.
_LONGEST_NUMBER = 64


class Node(NamedTuple):
    """A value with its place in the text.

    Attributes:
        value: a scalar, a mapping or a list of nodes; None also stands for rejected values.
        place: place of the value for messages, e.g. `config.yaml:3:10`.
        key_place: place of its key; equal to `place` for values without a key.
        is_refused: whether a problem was already noted for this value.
    """

    value: Value
    place: str
    key_place: str
    is_refused: bool = False


class YamlProblems:
    """Collects problems, one line each, in order."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, place: str, text: str) -> None:
        """Note a problem, as a printable and short line, whatever the input.

        Raises:
            ConfigError: there are `MAX_YAML_PROBLEMS` problems.
        """
        # Both the file and its name may come from someone else, and messages go to a terminal.
        self._lines.append(escaped(f"{place}: {shorten(text, MAX_TEXT_CHARACTERS)}"))
        if len(self._lines) >= MAX_YAML_PROBLEMS:
            raise self._error()

    def stop(self, place: str, text: str) -> ConfigError:
        """Note a problem after which nothing can be read; return the error to raise."""
        self.add(place, text)
        return self._error()

    def raise_if_any(self) -> None:
        """Raise `ConfigError` with all problems, if there are any."""
        if self._lines:
            raise self._error()

    def _error(self) -> ConfigError:
        is_cut = len(self._lines) >= MAX_YAML_PROBLEMS
        cut_note = [f"only the first {MAX_YAML_PROBLEMS} problems are shown"] if is_cut else []
        return ConfigError([*self._lines[:MAX_YAML_PROBLEMS], *cut_note])


def parse(content: bytes, place_of: PlaceOf, problems: YamlProblems) -> Node:
    """Parse one YAML document into a tree of nodes.

    Args:
        content: UTF-8 text, with or without a byte order mark.
        place_of: formats a place from its line and column, both from 1.
        problems: collects problems that do not end the reading.

    Raises:
        ConfigError: the rest of the text cannot be read; includes the problems collected before.
    """
    if len(content) > MAX_BYTES:
        raise problems.stop(place_of(1, 1), f"the text is larger than {MAX_BYTES} bytes")
    return _Composer(_decode_text(content, place_of, problems), place_of, problems).document()


def resolve_plain(text: str) -> Scalar:
    """Return the value of a word without quotes, by the core schema of YAML 1.2.2 (section 10.3).

    Raises:
        ValueError: the word is a number that is not finite, or other readers would interpret it differently.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    for pattern, other_reading, remedy in _SURPRISES:
        if pattern.fullmatch(text):
            also = f" or {remedy}" if remedy else ""
            raise ValueError(f"{text} without quotes can be read as {other_reading}, quote it{also}")
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a finite number")
    return _number(text)


def _number(text: str) -> str | int | float:
    if _INTEGER.fullmatch(text):
        number: int | float = int(text)
    elif _FLOAT.fullmatch(text):
        number = float(text)
    else:
        return text
    if math.isinf(number) or abs(number) >= _LARGEST_INTEGER:
        raise ValueError(f"{text} is too large a number")
    return number


def _decode_text(content: bytes, place_of: PlaceOf, problems: YamlProblems) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _position(content[: error.start].decode("utf-8-sig", "replace"))
        wrong = f"byte 0x{content[error.start]:02x} is not UTF-8, save the text as UTF-8"
        raise problems.stop(place_of(line, column), wrong) from error
    # The scanner would find it too, but reports an offset instead of a line.
    if match := Reader.NON_PRINTABLE.search(text):
        wrong = f"character U+{ord(match[0]):04X} is not allowed in YAML"
        raise problems.stop(place_of(*_position(text[: match.start()])), wrong)
    return text


def _position(text_before: str) -> tuple[int, int]:
    lines = _LINE_BREAK.split(text_before)
    return len(lines), len(lines[-1]) + 1


class _Composer:
    """Builds nodes from the events of the parser, never deeper than `MAX_DEPTH`."""

    def __init__(self, text: str, place_of: PlaceOf, problems: YamlProblems) -> None:
        self._text = text
        self._place_of = place_of
        self._problems = problems
        self._events = self._checked_events()

    def document(self) -> Node:
        """Return the root of the only document; a node with the value None if there is no document."""
        root = Node(None, self._place_of(1, 1), self._place_of(1, 1))
        n_documents = 0
        for event in self._events:
            if isinstance(event, events.DocumentStartEvent):
                n_documents += 1
                if n_documents > 1:
                    raise self._stop(event, "a second document starts here, only one is read")
                root = self._node(next(self._events))
        return root

    def _checked_events(self) -> Iterator[events.Event]:
        # Checked as the events come, before anything is built from them.
        depth = n_values = 0
        for event in self._raw_events():
            n_values += isinstance(event, events.NodeEvent)
            depth += isinstance(event, events.CollectionStartEvent) - isinstance(event, events.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise self._stop(event, f"nested deeper than {MAX_DEPTH} levels")
            if n_values > MAX_VALUES:
                raise self._stop(event, f"more than {MAX_VALUES} values")
            yield event

    def _raw_events(self) -> Iterator[events.Event]:
        try:
            yield from yaml.parse(self._text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            raise self._problems.stop(*self._syntax_problem(error)) from error
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            # PyYAML passes on the ValueError of chr() for an escape beyond Unicode.
            raise self._problems.stop(self._place_of(1, 1), f"cannot be read as YAML: {error}") from error

    def _syntax_problem(self, error: yaml.MarkedYAMLError) -> tuple[str, str]:
        mark = error.problem_mark or error.context_mark
        text = ", ".join(part for part in (error.context, error.problem) if part)
        if mark is None:
            return self._place_of(1, 1), text
        # PyYAML reports only that a character cannot start a token.
        if self._text[mark.index : mark.index + 1] == "\t":
            text = "a tab cannot indent or separate here, use spaces"
        return self._place_of(mark.line + 1, mark.column + 1), text

    def _place(self, event: events.Event) -> str:
        mark = event.start_mark
        return self._place_of(mark.line + 1, mark.column + 1) if mark else self._place_of(1, 1)

    def _stop(self, event: events.Event, text: str) -> ConfigError:
        return self._problems.stop(self._place(event), text)

    def _refuse(self, event: events.Event, text: str) -> Node:
        self._problems.add(self._place(event), text)
        return Node(None, self._place(event), self._place(event), is_refused=True)

    def _node(self, event: events.Event) -> Node:
        place = self._place(event)
        if isinstance(event, events.ScalarEvent | events.CollectionStartEvent):
            self._refuse_decoration(event)
        if isinstance(event, events.MappingStartEvent):
            return Node(self._mapping(), place, place)
        if isinstance(event, events.SequenceStartEvent):
            return Node([self._node(member) for member in self._members()], place, place)
        if isinstance(event, events.ScalarEvent):
            return self._scalar(event)
        return self._refuse(event, "an alias is refused, write the value out")

    def _refuse_decoration(self, event: events.ScalarEvent | events.CollectionStartEvent) -> None:
        if event.anchor is not None:
            self._refuse(event, f"the anchor &{shorten(event.anchor)} is refused, write values out")
        if event.tag is not None:
            self._refuse(event, f"the tag {shorten(event.tag)} is refused, write the plain value")

    def _members(self) -> Iterator[events.Event]:
        while not isinstance(event := next(self._events), events.CollectionEndEvent):
            yield event

    def _mapping(self) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for event in self._members():
            key = self._key(event)
            node = self._node(next(self._events))
            # Its value was still read, so that the events stay in step and its own problems are reported.
            if key is None:
                continue
            if key in entries:
                self._refuse(event, f"the key {shorten(key)} is set twice, first at {entries[key].key_place}")
            else:
                entries[key] = node._replace(key_place=self._place(event))
        return entries

    def _key(self, event: events.Event) -> str | None:
        if isinstance(event, events.ScalarEvent) and event.style is None and event.value == "<<":
            self._refuse(event, "the merge key << is refused, write the keys out")
            return None
        node = self._node(event)
        if not isinstance(node.value, str) and not node.is_refused:
            self._refuse(event, "a key must be text, quote it")
        return node.value if isinstance(node.value, str) else None

    def _scalar(self, event: events.ScalarEvent) -> Node:
        place = self._place(event)
        # Quoted and block scalars are always text.
        if event.style is not None:
            if _SURROGATE.search(event.value):
                return self._refuse(event, "half a surrogate pair is not a character")
            return Node(event.value, place, place)
        try:
            return Node(resolve_plain(event.value), place, place)
        except ValueError as error:
            return self._refuse(event, str(error))
