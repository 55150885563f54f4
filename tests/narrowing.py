"""Values narrowed to the type that a test expects, where the type of the program is wider."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """Return a value that must not be None."""
    assert value is not None
    return value


def of_type(value: object, kind: type[T]) -> T:
    """Return a value that must be of that type."""
    assert isinstance(value, kind), value
    return value


def only(values: Iterable[object], kind: type[T]) -> list[T]:
    """Return those of that type, in their order."""
    return [value for value in values if isinstance(value, kind)]


def one(values: Iterable[object], kind: type[T]) -> T:
    """Return the single one of that type."""
    (value,) = only(values, kind)
    return value
