"""Format settings as an annotated YAML file: each with its description, value, unit and range."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec

from streamgmm.settings.config import Config
from streamgmm.settings.schema import describe, examples, fields_of, format_number, is_section, reason
from streamgmm.settings.section import Section
from streamgmm.settings.strict_yaml import resolve_plain
from streamgmm.wording import as_flow

_PREAMBLE = """\
Settings of streamgmm. A setting that is left out has its default; one that is misspelt or out of range is
reported with its line, before anything starts. `streamgmm config check FILE` checks a file without starting, and
`--set decision.hangover_s=1` changes one setting for one run.
"""
_WIDTH = 100
_COMMENT_COLUMN = 34
# Words that need no quotes in any place: no space, comma, bracket or quote, and no colon at the end.
_PLAIN = re.compile(r"[A-Za-z/]([A-Za-z0-9_./:-]*[A-Za-z0-9_/])?")


def annotated_yaml(config: Config) -> str:
    """Format `config` as YAML with comments from the types; `load_config` reads it back to an equal `Config`."""
    blocks = [_comment(_PREAMBLE)]
    for name, annotation in fields_of(Config).items():
        value = getattr(config, name)
        lines = _section_lines(name, value) if is_section(annotation) else _setting_lines(name, annotation, value)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def plain_yaml(config: Config) -> str:
    """Format `config` as YAML without comments."""
    lines: list[str] = []
    for name, annotation in fields_of(Config).items():
        value = msgspec.to_builtins(getattr(config, name))
        if is_section(annotation):
            lines += [f"{name}:", *(f"  {key}: {flow_yaml(item)}" for key, item in value.items())]
        else:
            lines.append(f"{name}: {flow_yaml(value)}")
    return "\n".join(lines) + "\n"


def _section_lines(name: str, section: Section) -> Iterator[str]:
    yield _comment(str(type(section).__doc__))
    yield f"{name}:"
    for key, annotation in fields_of(type(section)).items():
        yield from (textwrap.indent(line, "  ") for line in _setting_lines(key, annotation, getattr(section, key), 2))


def _setting_lines(key: str, annotation: Any, value: Any, n_indented: int = 0) -> Iterator[str]:
    yield _comment(reason(annotation))
    setting = f"{key}: {flow_yaml(msgspec.to_builtins(value))}"
    # Comments are aligned in the file, whether the setting is indented or not.
    yield f"{setting:{_COMMENT_COLUMN - 1 - n_indented}} # {_note(annotation)}"


def _note(annotation: Any) -> str:
    """Return the comment beside a value: an example if there is one, else type, range and unit."""
    shown = examples(annotation)
    return f"for example {flow_yaml(shown[0])}" if shown else describe(annotation)


def _comment(text: str) -> str:
    # Less the two characters of `# ` and the two by which a section is indented.
    return "\n".join(f"# {line}" for line in textwrap.wrap(text, _WIDTH - 4))


def flow_yaml(value: Any) -> str:
    """Return a value as YAML on one line."""
    # None is the default of settings within a mapping, so the text is read back as an equal value.
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{flow_yaml(key)}: {flow_yaml(item)}" for key, item in value.items() if item is not None)
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(flow_yaml, value)) + "]"
    if isinstance(value, str):
        return value if _is_plain(value) else as_flow(value)
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return format_number(value)


def _is_plain(text: str) -> bool:
    """Return whether `text` needs no quotes, not even within a flow collection."""
    try:
        return _PLAIN.fullmatch(text) is not None and resolve_plain(text) == text
    except ValueError:
        return False
