"""Schema of the settings: describe and check types of values, for messages and for the annotated file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import inspect


def unwrap(annotation: Any) -> Any:
    """Return the type within `Annotated`, at any depth."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def describe(annotation: Any) -> str:
    """Describe the valid values of a type, e.g. `a number from 0 to 60 s`."""
    return _describe(inspect.type_info(annotation))


def accepts_text(annotation: Any) -> bool:
    """Return whether the type accepts text."""
    kind = inspect.type_info(unwrap(annotation))
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return any(isinstance(_without_metadata(kind), inspect.StrType) for kind in kinds)


def is_place(annotation: Any) -> bool:
    """Return whether a value of this type is a path, or a URI that may contain one."""
    return _is_place(inspect.type_info(annotation))


def reloads(annotation: Any) -> bool:
    """Return whether a running daemon takes this setting, or all settings of this section, from a reload."""
    kind = inspect.type_info(annotation)
    return isinstance(kind, inspect.Metadata) and "reloads" in (kind.extra or {})


def _is_place(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.UnionType):
        return any(map(_is_place, kind.types))
    return isinstance(kind, inspect.Metadata) and "is_place" in (kind.extra or {})


def is_valid(value: Any, annotation: Any) -> bool:
    """Return whether `value` is valid for the type."""
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        return False
    return True


def is_section(annotation: Any) -> bool:
    """Return whether the type is a section, i.e. a mapping whose keys are settings."""
    kind = unwrap(annotation)
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def reason(annotation: Any) -> str:
    """Return the description of a setting; empty if its type has none."""
    return str(_metadata(annotation).get("description", ""))


def examples(annotation: Any) -> Sequence[Any]:
    """Return example values of a setting, to show where the default is not informative."""
    shown: Sequence[Any] = _metadata(annotation).get("examples", [])
    return shown


def json_schema(section: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a section and all sections in it; `~` and shorthands are valid text."""
    schema = msgspec.json.schema(section)
    named = schema["$defs"].get("NamedSourceSection")
    if named is not None:
        # A source may be a URI alone (see `loading`).
        schema["$defs"]["NamedSourceSection"] = {"anyOf": [{"type": "string", "minLength": 1}, named]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def format_number(number: float) -> str:
    """Format a number as short as possible: `60` for 60.0, and no exponent for whole numbers below 1e15."""
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e15 else repr(number)


def _without_metadata(kind: inspect.Type) -> inspect.Type:
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def _metadata(annotation: Any) -> Mapping[str, Any]:
    kind = inspect.type_info(annotation)
    # msgspec keeps `description` and `examples` there, because they belong to JSON Schema; `extra` holds marks and
    # units.
    return (kind.extra_json_schema or {}) if isinstance(kind, inspect.Metadata) else {}


def _describe(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        unit = (kind.extra or {}).get("unit")
        return _describe(kind.type) + (f" {unit}" if unit else "")
    if isinstance(kind, inspect.UnionType):
        return ", or ".join(map(_describe, kind.types))
    if isinstance(kind, inspect.LiteralType):
        return _one_of([str(value) for value in kind.values])
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
        return f"{noun} {_range(kind)}".rstrip()
    if isinstance(kind, inspect.ListType):
        return f"a list of {_describe(kind.item_type)}"
    return _NOUNS.get(type(kind), "a mapping")


_NOUNS: dict[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.BoolType: "true or false",
    inspect.NoneType: "null",
}


def _one_of(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f"from {format_number(kind.ge)} to {format_number(kind.le)}"
    bounds = {"above": kind.gt, "at least": kind.ge, "below": kind.lt, "up to": kind.le}
    return ", ".join(f"{word} {format_number(bound)}" for word, bound in bounds.items() if bound is not None)


def fields_of(section: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the annotated type of each setting of a section, by name."""
    return {field.name: field.type for field in msgspec.structs.fields(section)}
