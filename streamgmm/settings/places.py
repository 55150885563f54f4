"""Paths in the settings that depend on the current directory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec

from streamgmm.settings.loading import LoadedConfig
from streamgmm.settings.schema import fields_of, is_place, unwrap

_PATH_IN_URI = re.compile(r"(?:file|unix|pcm\+unix):(?://)?(.*)", re.DOTALL)
# The program of a command; without a slash, it is looked up in PATH.
_PROGRAM_IN_URI = re.compile(r"exec:\s*['\"]?([^\s'\"]*/[^\s'\"]*).*", re.DOTALL)


def relative_paths(loaded: LoadedConfig) -> list[str]:
    """Return a problem for each path in the settings that means another file in another directory, with its place."""
    settings = _places(type(loaded.config), loaded.config, "")
    return [
        f"{loaded.places.get(key, loaded.path)}: {key}: {value} is relative to the current directory; "
        f"write the whole path, here {Path(path).absolute()}"
        for key, value in settings
        if (path := _path_in(key, value)) and not Path(path).is_absolute()
    ]


def _places(annotation: Any, value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield the dotted key of each path and URI in a value of the settings, and its text."""
    if isinstance(value, msgspec.Struct):
        for name, member in fields_of(type(value)).items():
            yield from _places(member, getattr(value, name), f"{key}.{name}" if key else name)
    elif isinstance(value, dict):
        for name, own in value.items():
            yield from _places(get_args(unwrap(annotation))[1], own, f"{key}.{name}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _places(get_args(unwrap(annotation))[0], item, f"{key}[{i}]")
    elif isinstance(value, str) and is_place(annotation):
        yield key, value


def _path_in(key: str, value: str) -> str:
    """Return the path that a setting names; empty for none, as in the URI of a microphone."""
    # A sink without settings of its own is an item of a list, and a URI too.
    if not key.endswith((".uri", "]")):
        return value
    match = _PATH_IN_URI.fullmatch(value) or _PROGRAM_IN_URI.fullmatch(value)
    return match[1] if match else ""
