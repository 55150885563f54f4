"""The tree of the settings: a YAML file with the values of `--set` put into it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from streamgmm.errors import ConfigError, DataError
from streamgmm.files import read_regular_file
from streamgmm.settings import strict_yaml
from streamgmm.settings.strict_yaml import Node, YamlProblems
from streamgmm.wording import shorten


def read_tree(path: Path | None, overrides: Sequence[str], problems: YamlProblems) -> Node:
    """Return the tree of the file with the overrides put into it; what cannot be parsed is left out, and a problem."""
    root = Node({}, "", "")
    # A text that cannot be parsed is recorded as a problem; the others are still checked.
    if path is not None:
        with suppress(ConfigError):
            root = _read_file(path, problems)
    assignments = []
    for text in overrides:
        with suppress(ConfigError):
            assignments.append(_read_override(text, problems))
    _refuse_conflicts(assignments, problems)
    # Whole sections are assigned first, so that they do not overwrite settings assigned within them.
    for keys, node in sorted(assignments, key=lambda assignment: len(assignment.keys)):
        _put(root, keys, node)
    return root


def share_settings(root: Node) -> None:
    """Expand each of several sources in place: a URI alone, and settings that it takes from the shared sections."""
    top = _mapping(root)
    sources = _mapping(top.get("sources"))
    # Not `uri`: one place cannot be two sources.
    shared = {name: node for name, node in _mapping(top.get("source")).items() if name != "uri"}
    if "decision" in top:
        shared["decision"] = top["decision"]
    for name, node in sources.items():
        own = {"uri": node} if isinstance(node.value, str) else _mapping(node)
        if own:
            members = {**shared, **own}
            if "decision" in own and isinstance(own["decision"].value, dict):
                # Merged key by key: a source may change a part of the shared decision.
                decision = {**_mapping(shared.get("decision")), **own["decision"].value}
                members["decision"] = own["decision"]._replace(value=decision)
            sources[name] = node._replace(value=members)


def _mapping(node: Node | None) -> dict[str, Node]:
    return node.value if node is not None and isinstance(node.value, dict) else {}


def _read_file(path: Path, problems: YamlProblems) -> Node:
    try:
        content = read_regular_file(path, strict_yaml.MAX_BYTES)
    except DataError as error:
        # Too large, or not a regular file: a problem like others. A missing file has an exit code of its own.
        raise problems.stop(str(path), error.what) from error
    return strict_yaml.parse(content, lambda line, column: f"{path}:{line}:{column}", problems)


class _Assignment(NamedTuple):
    keys: Sequence[str]
    node: Node


def _read_override(text: str, problems: YamlProblems) -> _Assignment:
    place = f"--set {shorten(text, 60)}"
    key, equals, value = text.partition("=")
    keys = key.strip().split(".")
    if not equals or not all(keys):
        raise problems.stop(place, "wanted section.key=value")
    # The shell may pass bytes that are not UTF-8, which the YAML parser reports better than an encoder would.
    content = value.encode("utf-8", "surrogateescape")
    return _Assignment(keys, strict_yaml.parse(content, lambda _line, _column: place, problems))


def _refuse_conflicts(assignments: Sequence[_Assignment], problems: YamlProblems) -> None:
    """Record a problem for each setting with two different values on one command line."""
    given: dict[str, Node] = {}
    for keys, node in assignments:
        for key, leaf in _leaves(".".join(keys), node):
            # The same value twice does no harm.
            first = given.setdefault(key, leaf)
            if _plain(first) != _plain(leaf):
                value = json.dumps(_plain(first), ensure_ascii=False)
                problems.add(leaf.place, f"{key} is also given as {shorten(value)}; give it once")


def _leaves(key: str, node: Node) -> Iterator[tuple[str, Node]]:
    """Yield each setting within `node`, with its dotted key."""
    if isinstance(node.value, dict):
        for name, member in node.value.items():
            yield from _leaves(f"{key}.{name}", member)
    else:
        yield key, node


def _plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {name: _plain(member) for name, member in node.value.items()}
    return [_plain(item) for item in node.value] if isinstance(node.value, list) else node.value


def _put(root: Node, keys: Sequence[str], node: Node) -> None:
    """Set the value at `keys`, unless a parent in the file is not a mapping, which is then reported later."""
    *parent_keys, last_key = keys
    parent = root
    for key in parent_keys:
        if not isinstance(parent.value, dict):
            return
        child = parent.value.get(key)
        # A section that is empty in the file is null. One that was rejected stays, as its problem is already reported.
        if child is None or (child.value is None and not child.is_refused):
            child = parent.value[key] = Node({}, node.place, node.place)
        parent = child
    if isinstance(parent.value, dict):
        parent.value[last_key] = node
