"""The reference pages of records and settings, written from the declarations that the program itself uses."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from streamgmm import records as r
from streamgmm.record_schema import records_schema
from streamgmm.settings.config import Config, NamedSourceSection
from streamgmm.settings.decision import LabelSection
from streamgmm.settings.output import SinkSection
from streamgmm.settings.schedule import OffSection
from streamgmm.settings.schema import describe, examples, fields_of, is_section, reason, reloads
from streamgmm.settings.section import Section
from streamgmm.settings.text import flow_yaml
from tests.packaging.packaging_rig import PROJECT
from tests.test_records import EXAMPLES

Row = tuple[str, ...]

RECORDS = """\
# Records

One JSON object per line, in UTF-8. Every key of a type is always there, and null where there is nothing to say. Readers
ignore keys and types that they do not know. The same as a JSON Schema: `streamgmm config schema records`, or
[records.schema.json](records.schema.json). This page is made from that schema.
"""

SETTINGS = """\
# Settings

Every setting with its default and the values that it takes; this page is made from the declarations that check them.
[config.yaml](../config.yaml) has the same as a file to copy, and `streamgmm config check FILE` reports every mistake
with its line. A setting marked † is taken over by a reload (SIGHUP, `systemctl reload streamgmm`); all others need a
restart. On the command line, `--set decision.hangover_s=1` changes one setting of one run.
"""

NESTED: dict[str, tuple[str, type[Section]]] = {
    "An item of `output.sinks`": ("In place of a URI alone, a mapping with `uri` and any of these.", SinkSection),
    "A source of `sources`": (
        "In place of a URI alone, a mapping with any of these and of the section `source`.",
        NamedSourceSection,
    ),
    "A label of `decision.labels`": ("What is left out is as in the section `decision`.", LabelSection),
    "An item of `schedule`": ("", OffSection),
}
"""Sections that are values of settings: the heading of each, and what is said of it."""


def records_page() -> str:
    """Return the page of all records."""
    definitions = records_schema()["$defs"]
    named = [each["$ref"].rpartition("/")[2] for each in records_schema()["anyOf"]]
    envelope = list(r.Record.__struct_fields__)
    parts = [RECORDS, "## Every record\n", _keys_table(_envelope(definitions[named[0]], envelope))]
    for name in named:
        definition = definitions[name]
        (kind,) = definition["properties"]["type"]["enum"]
        parts += [f"## {kind}\n", *_definition(definition, {"type", *envelope})]
        parts.append(f"```json\n{r.encode_json(EXAMPLES[kind][0]).decode().strip()}\n```\n")
    for name in sorted(set(definitions) - set(named)):
        parts += [f"## {name}\n", *_definition(definitions[name], set())]
    return "\n".join(parts)


def settings_page() -> str:
    """Return the page of all settings."""
    parts, single = [SETTINGS], []
    for name, annotation in fields_of(Config).items():
        if is_section(annotation):
            section = type(getattr(Config(), name))
            parts += [f"## {name}\n", inspect.cleandoc(str(section.__doc__)) + "\n"]
            parts.append(_settings_table(section, name, is_live=reloads(annotation)))
        else:
            single.append((name, annotation, getattr(Config(), name)))
    parts += ["## On the top level\n", _rows(("setting", "default", "values", "meaning"), map(_setting_row, single))]
    for heading, (text, section) in NESTED.items():
        parts += [f"## {heading}\n", *([text + "\n"] if text else []), _settings_table(section, "", is_live=False)]
    return "\n".join(parts)


def _definition(definition: dict[str, Any], left_out: set[str]) -> Iterator[str]:
    text, meanings = _meanings(definition.get("description", ""))
    yield text + "\n"
    rows: list[Row] = [
        (f"`{key}`", _type_name(declared), meanings.get(key, ""))
        for key, declared in definition["properties"].items()
        if key not in left_out
    ]
    if rows:
        yield _keys_table(rows)


def _envelope(definition: dict[str, Any], keys: list[str]) -> list[Row]:
    _, meanings = _meanings(inspect.cleandoc(str(r.Record.__doc__)))
    properties = definition["properties"]
    rows: list[Row] = [("`type`", "text", "the type of the record, as in the headings below")]
    return rows + [(f"`{key}`", _type_name(properties[key]), meanings[key]) for key in keys]


def _keys_table(rows: list[Row]) -> str:
    return _rows(("key", "value", "meaning"), rows)


def _meanings(docstring: str) -> tuple[str, dict[str, str]]:
    """Return a docstring without its list of attributes, and that list."""
    text, _, listed = docstring.partition("\nAttributes:\n")
    joined = re.sub(r"\n {8,}", " ", listed)
    return text.strip(), dict(re.findall(r"^ {4}(\w+): (.*)$", joined, re.MULTILINE))


def _type_name(declared: dict[str, Any]) -> str:
    """Name the type of a key in words."""
    if "$ref" in declared:
        name = declared["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in declared:
        return ", ".join("null" if value is None else f"`{value}`" for value in declared["enum"])
    if "anyOf" in declared:
        return " or ".join(_type_name(each) for each in declared["anyOf"])
    kinds = declared["type"] if isinstance(declared["type"], list) else [declared["type"]]
    return " or ".join(_word(kind, declared) for kind in kinds)


def _word(kind: str, declared: dict[str, Any]) -> str:
    if kind == "array":
        return f"list of {_type_name(declared['items'])}"
    if kind == "object":
        return f"object of {_type_name(declared['additionalProperties'])}"
    return {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(kind, kind)


def _settings_table(section: type[Section], prefix: str, *, is_live: bool) -> str:
    defaults = {field.name: field for field in msgspec.structs.fields(section)}
    own = set(section.__annotations__)
    rows: list[Row] = []
    for key, annotation in fields_of(section).items():
        if key not in own or is_section(annotation):
            continue
        field = defaults[key]
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        mark = " †" if is_live or reloads(annotation) else ""
        name = f"{prefix}.{key}" if prefix else key
        rows.append(_setting_row((name, annotation, default), mark))
    return _rows(("setting", "default", "values", "meaning"), rows)


def _setting_row(setting: tuple[str, Any, Any], mark: str | None = None) -> Row:
    name, annotation, default = setting
    mark = (" †" if reloads(annotation) else "") if mark is None else mark
    shown = "required" if default is msgspec.NODEFAULT else f"`{flow_yaml(msgspec.to_builtins(default))}`"
    example = f"; for example `{flow_yaml(examples(annotation)[0])}`" if examples(annotation) else ""
    return f"`{name}`{mark}", shown, describe(annotation), reason(annotation) + example


def _rows(heads: Row, rows: Iterable[Row]) -> str:
    rows = list(rows)
    if not any(row[-1] for row in rows):  # a column that says nothing
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in lines)


WRITTEN = {PROJECT / "docs" / "records.md": records_page, PROJECT / "docs" / "settings.md": settings_page}
"""The pages, with the functions that make them."""
