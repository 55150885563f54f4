"""JSON Schema of all records, made from the structs that they are encoded from."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

from streamgmm.records import AnyRecord

_DESCRIPTION = """\
One line of a stream of streamgmm. Every key is always there; readers ignore unknown keys, and types of records that
they do not know."""


def records_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a line of any stream, with a definition for each type of record."""
    schema = msgspec.json.schema(AnyRecord)
    # A keyword of OpenAPI, which strict validators of JSON Schema reject; `type` is an enum of one word in each record.
    del schema["discriminator"]
    title = {"title": "streamgmm record", "description": _DESCRIPTION}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **title, **_as_written(schema)}


def _as_written(tree: Any) -> Any:
    """Return the schema of what is encoded; msgspec describes what may be decoded, where a default may be left out."""
    if isinstance(tree, list):
        return [_as_written(item) for item in tree]
    if not isinstance(tree, Mapping):
        return tree
    written = {key: _as_written(value) for key, value in tree.items()}
    if isinstance(written.get("description"), str):
        written["description"] = inspect.cleandoc(written["description"])
    if isinstance(properties := written.get("properties"), dict):
        for declared in properties.values():
            declared.pop("default", None)
        written["required"] = list(properties)
    # Marked in `records.Measured`: the encoder turns a number that is not finite into null.
    if written.pop("nullable", False):
        written["type"] = [written["type"], "null"]
    return written
