"""Load one `Config` from a YAML file and `--set` options; all problems are reported together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, NamedTuple, Union, cast, get_args, get_origin

import msgspec
from msgspec import UNSET

from streamgmm.errors import InputMissingError, PermissionDeniedError, StreamgmmError
from streamgmm.files import expand_home
from streamgmm.settings.config import RENAMED_KEYS, Config
from streamgmm.settings.output import OutputSection
from streamgmm.settings.schema import accepts_text, describe, fields_of, is_place, is_section, is_valid, reason, unwrap
from streamgmm.settings.section import Section
from streamgmm.settings.strict_yaml import Node, YamlProblems
from streamgmm.settings.tree import read_tree, share_settings
from streamgmm.wording import did_you_mean, shorten

CONFIG_VARIABLE = "STREAMGMM_CONFIG"
"""Environment variable that names the settings file where `--config` does not."""


class LoadedConfig(NamedTuple):
    """Settings of one run, and their origin.

    Attributes:
        config: all settings.
        explicit_keys: dotted keys that the file or an option sets, e.g. `decision.onset_threshold`;
            all others have their defaults.
        path: the file that was read; None if there was none.
        places: place of the value of each explicit key, and of each item of a list, e.g. `config.yaml:3:10`.
    """

    config: Config
    explicit_keys: frozenset[str]
    path: Path | None
    places: Mapping[str, str] = MappingProxyType({})


def load_config(path: Path | str | None, overrides: Sequence[str] = ()) -> LoadedConfig:
    """Read and check the settings.

    Args:
        path: the YAML file; None uses the one that the environment variable STREAMGMM_CONFIG names, or else the first
            of `default_paths` that exists, or the defaults if none does.
        overrides: texts such as `decision.onset_threshold=0.7`, which take precedence over the file; the value is YAML.

    Raises:
        ConfigError: lists every problem with file, line and column, or with its option; overrides that contradict
            each other are a problem too.
        InputMissingError: the file is missing.
        PermissionDeniedError: the user may not read the file.
    """
    problems = YamlProblems()
    try:
        chosen_path = _find() if path is None else Path(expand_home(str(path)))
        root = read_tree(chosen_path, overrides, problems)
    except (InputMissingError, PermissionDeniedError) as error:
        if path is None and os.environ.get(CONFIG_VARIABLE):
            # Nothing on the command line names this file.
            error.hint = f"named by {CONFIG_VARIABLE}"
        raise
    share_settings(root)
    reader = _Reader(problems)
    config = reader.read(Config, root, "")
    problems.raise_if_any()
    return LoadedConfig(config, frozenset(reader.explicit_keys), chosen_path, MappingProxyType(reader.places))


def salvage_output(path: Path | str | None, overrides: Sequence[str] = ()) -> OutputSection:
    """Return the output settings of an invalid file, with defaults for settings that cannot be read.

    Used to find a daemon that still runs with settings that it read before. Arguments as for `load_config`.
    """
    problems = YamlProblems()
    reader = _Reader(problems)
    annotations = fields_of(OutputSection)
    with suppress(StreamgmmError, ValueError):
        root = read_tree(_find() if path is None else Path(expand_home(str(path))), overrides, problems)
        found = [member for name, member, _ in reader._members(root, "") if name == "output"]
        members = [member for node in found for member in reader._members(node, "output")]
        # Each setting is read by itself: an invalid one takes its default, and does not affect the others.
        settings = {
            name: reader.read(annotations[name], node, key) for name, node, key in members if name in annotations
        }
        return OutputSection(**{name: value for name, value in settings.items() if value is not UNSET})
    return OutputSection()


def default_paths() -> list[Path]:
    """Return the paths that are searched if no settings file is named: the user's, then the system's."""
    home = os.environ.get("HOME")
    config_home = os.environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else None)
    folders = [config_home, "/etc"] if config_home else ["/etc"]
    return [Path(folder) / "streamgmm" / "config.yaml" for folder in folders]


def _find() -> Path | None:
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        # Even if it is missing: the defaults in its place would be a surprise.
        return Path(expand_home(named))
    # `Path.exists` may raise where a folder may not be entered.
    return next((path for path in default_paths() if os.access(path, os.F_OK)), None)


class _Reader:
    """Convert nodes to typed values; UNSET replaces a value for which a problem was recorded.

    Attributes:
        explicit_keys: dotted keys of all settings read so far.
        places: place of the value of each key and of each item of a list.
    """

    def __init__(self, problems: YamlProblems) -> None:
        self._problems = problems
        self._noted: set[tuple[str, str]] = set()
        self.explicit_keys: set[str] = set()
        self.places: dict[str, str] = {}

    def read(self, annotation: Any, node: Node, key: str) -> Any:
        """Return the value of `node` converted to the type `annotation`, or UNSET after a problem."""
        kind = unwrap(annotation)
        self.places[key] = node.place
        if node.is_refused:
            # Its problem is already reported.
            return UNSET
        if is_section(annotation):
            return self._section(kind, node, key)
        if get_origin(kind) is dict:
            return self._dict(kind, node, key)
        self.explicit_keys.add(key)
        if get_origin(kind) is list:
            return self._list(annotation, node, key)
        return self._leaf(annotation, node, key)

    def _add(self, place: str, key: str, text: str) -> None:
        # A setting that several sources share is read for each of them, but its problem is reported once.
        noted = (place, key.rpartition(".")[2])
        if noted not in self._noted:
            self._noted.add(noted)
            self._problems.add(place, text)

    def _section(self, section: type[Section], node: Node, key: str) -> Any:
        annotations = fields_of(section)
        settings: dict[str, Any] = {}
        for name, member, member_key in self._members(node, key):
            if name in annotations:
                settings[name] = self.read(annotations[name], member, member_key)
            else:
                self._unknown_key(member, member_key, name, annotations)
        missing = [field.name for field in msgspec.structs.fields(section) if field.required]
        for name in set(missing) - settings.keys():
            self._add(node.key_place, key, f"{key}: {name} is missing")
            settings[name] = UNSET
        # The checks of several values need all of them; the problem of the missing one is already reported.
        if UNSET in settings.values():
            return UNSET
        try:
            return section(**settings)
        except ValueError as error:
            # From `__post_init__`: each value is valid, but not all of them together.
            self._add(node.key_place, key, f"{key}: {error}")
            return UNSET

    def _dict(self, kind: Any, node: Node, key: str) -> Any:
        key_type, value_type = get_args(kind)
        values: dict[str, Any] = {}
        for name, member, member_key in self._members(node, key):
            # Read before the name is checked, so that a wrong name does not hide problems of the value.
            values[name] = self.read(value_type, member, member_key)
            if not is_valid(name, key_type):
                self._add(
                    member.key_place, member_key, f"{shorten(member_key, 80)}: wanted {reason(key_type)} as a name"
                )
                values[name] = UNSET
        return UNSET if UNSET in values.values() else values

    def _list(self, annotation: Any, node: Node, key: str) -> Any:
        if not isinstance(node.value, list):
            return self._wrong_value(annotation, node, key)
        item_type = get_args(unwrap(annotation))[0]
        items = [self._item(item_type, item, f"{key}[{index}]") for index, item in enumerate(node.value)]
        return UNSET if UNSET in items else items

    def _item(self, annotation: Any, node: Node, key: str) -> Any:
        self.places[key] = node.place
        section = _section_within(annotation)
        if section is not None and isinstance(node.value, dict):
            (name, member), *others = node.value.items() or [("", None)]
            if member is not None and member.value is None and not others and name not in fields_of(section):
                # YAML parses an unquoted text that ends with a colon as a mapping.
                self._add(node.place, key, f"{key}: got a mapping, wanted text; quote '{name}:'")
                return UNSET
            return self._section(section, node, key)
        return self._leaf(annotation, node, key)

    def _leaf(self, annotation: Any, node: Node, key: str) -> Any:
        if node.is_refused:
            return UNSET
        if isinstance(node.value, dict | list):
            return self._wrong_value(annotation, node, key)
        try:
            value = msgspec.convert(node.value, annotation)
            return expand_home(value) if is_place(annotation) else value
        except msgspec.ValidationError:
            return self._wrong_value(annotation, node, key)
        except InputMissingError as error:
            self._add(node.place, key, f"{key}: {error}")
            return UNSET

    def _members(self, node: Node, key: str) -> Iterator[tuple[str, Node, str]]:
        # A section whose settings are all commented out is null, which is valid; an empty file is a mistake.
        members = {} if node.value is None and key else node.value
        if not isinstance(members, dict):
            wanted = f"{key}: got {_show(node)}, wanted a mapping" if key else f"got {_show(node)}, wanted sections"
            self._add(node.place, key, wanted)
            return
        # `sources` last: settings that sources share are read, and their problems reported, in their own section first.
        for name, member in sorted(members.items(), key=lambda item: not key and item[0] == "sources"):
            yield name, member, f"{key}.{name}" if key else name

    def _wrong_value(self, annotation: Any, node: Node, key: str) -> Any:
        quote = ", quote it" if accepts_text(annotation) and isinstance(node.value, bool | int | float) else ""
        text = f"{shorten(key, 80)}: got {_show(node)}, wanted {describe(annotation)}{quote}"
        self._add(node.place, key, text)
        return UNSET

    def _unknown_key(self, node: Node, key: str, name: str, annotations: dict[str, Any]) -> None:
        advice = (
            # The most specific advice that applies.
            _new_name_of(key)
            or did_you_mean(name, annotations)
            or _section_of(name)
            or f"known are {', '.join(annotations)}"
        )
        self._add(node.key_place, key, f"{shorten(key, 80)}: unknown key, {advice}")


def _section_within(annotation: Any) -> type[Section] | None:
    """Return a section type, or that of a union such as `str | SinkSection`; None if there is none."""
    kind: Any = unwrap(annotation)
    if is_section(kind):
        return cast("type[Section]", kind)
    is_union = get_origin(kind) in (Union, UnionType)
    return next((member for member in get_args(kind) if is_section(member)), None) if is_union else None


def _new_name_of(key: str) -> str:
    return f"it is called {RENAMED_KEYS[key]} now" if key in RENAMED_KEYS else ""


def _section_of(name: str) -> str:
    """Return advice for a setting that was written into the wrong section; empty if no section has it."""
    sections = [key for key, kind in fields_of(Config).items() if is_section(kind) and name in fields_of(kind)]
    return f"it belongs to {sections[0]}" if sections else ""


def _show(node: Node) -> str:
    if node.value is None:
        return "nothing"
    if isinstance(node.value, dict | list):
        return "a mapping" if isinstance(node.value, dict) else "a list"
    if isinstance(node.value, bool):
        return str(node.value).lower()
    return shorten(repr(node.value))
