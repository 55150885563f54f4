"""Upgrade a settings file of an earlier version: renamed keys get their new names, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from streamgmm.errors import ConfigError
from streamgmm.files import read_regular_file, replace_atomically
from streamgmm.settings import strict_yaml
from streamgmm.settings.config import RENAMED_KEYS
from streamgmm.settings.strict_yaml import Node, YamlProblems


def upgrade_config(path: Path) -> dict[str, str]:
    """Replace the renamed keys of a settings file, in place and with all comments.

    Returns:
        The new dotted key of each old one that was found; if empty, the file was not written.

    Raises:
        ConfigError: the file is not YAML as `load_config` accepts it; it is not changed.
        StreamgmmError: the file cannot be read or written.
    """
    content = read_regular_file(path, strict_yaml.MAX_BYTES)
    root = _parse(content, path)
    # Other line ends than those of YAML, which `splitlines` knows too, are rejected by the parser.
    lines = content.decode("utf-8-sig").splitlines(keepends=True)
    renamed: dict[str, str] = {}
    # From the end, so that the positions of the remaining keys stay valid when the length of a name changes.
    for key, node in sorted(_renamed_nodes(root, ""), key=lambda found: _key_place(found[1]), reverse=True):
        i_line, i_column = _key_place(node)
        old, new = key.rpartition(".")[2], RENAMED_KEYS[key].rpartition(".")[2]
        line = lines[i_line]
        # By search from the place of the key, because the name may be quoted.
        lines[i_line] = line[:i_column] + line[i_column:].replace(old, new, 1)
        renamed[key] = RENAMED_KEYS[key]
    if renamed:
        replace_atomically(path, "".join(lines).encode())
    return renamed


def _parse(content: bytes, path: Path) -> Node:
    problems = YamlProblems()
    try:
        # Without the name of the file, which could hold a colon: these places are read again.
        root = strict_yaml.parse(content, lambda line, column: f"{line}:{column}", problems)
        problems.raise_if_any()
    except ConfigError as error:
        raise ConfigError(error.problems, where=str(path)) from error
    return root


def _renamed_nodes(node: Node, key: str) -> Iterator[tuple[str, Node]]:
    if key in RENAMED_KEYS:
        yield key, node
    elif isinstance(node.value, dict):
        for name, member in node.value.items():
            yield from _renamed_nodes(member, f"{key}.{name}" if key else name)


def _key_place(node: Node) -> tuple[int, int]:
    """Return line and column of the key, from 0."""
    line, column = map(int, node.key_place.split(":"))
    return line - 1, column - 1
