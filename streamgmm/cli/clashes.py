"""Outputs named on the command line that would overwrite what the command reads, or each other."""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Collection, Hashable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from streamgmm.errors import CannotCreateError, UsageError

INPUTS = ("data", "model", "file", "files", "clips", "background", "backgrounds", "events", "config", "folder")
"""Arguments of all commands that name what is read: a path, or a list of paths; of some commands, a flag or number."""

RESULTS = {"json": "--json", "picture": "--picture", "report": "--report"}
"""Arguments that name a result to write, with their options; of some commands, `--json` is a flag."""

MODELS = {"output": "--output"}
"""Arguments that name a model to write, which may replace the one that was read, or a folder."""

_MEMORY_SUFFIX = ".sgm-memory"
_OTHER_NAME = "name another file"
_PNG = b"\x89PNG"


def check_outputs(args: argparse.Namespace) -> None:
    """Raise before any work if an output would overwrite an input, another output, or a file of another kind.

    Raises:
        UsageError: an output is an input of this command, or a file in a folder of inputs that is no earlier result; or
            two outputs are one file; or a result has the name of the memory of a model.
        CannotCreateError: there is a file that is no earlier result: neither JSON, a picture nor a page.
    """
    results, models = _named(args, RESULTS), _named(args, MODELS)
    refuse_same_file({**results, **models})
    for option, path in results.items():
        _refuse_input(option, path, list(_inputs(args, INPUTS)))
        _refuse_other_kind(option, path)
    for option, path in models.items():
        _refuse_input(option, path, list(_inputs(args, set(INPUTS) - {"model"})))


def refuse_same_file(outputs: Mapping[str, Path | None]) -> None:
    """Raise if two outputs, each with its option, are one file; None: not given.

    Raises:
        UsageError: two outputs are the same file.
    """
    options: dict[Hashable, str] = {}
    for option, path in outputs.items():
        first = option if path is None else options.setdefault(_identity(path), option)
        if first != option:
            raise UsageError(f"{first} and {option} name the same file", where=str(path), hint="name one for each")


def _named(args: argparse.Namespace, options: Mapping[str, str]) -> dict[str, Path]:
    values = {option: getattr(args, name, None) for name, option in options.items()}
    # `-` is stdout.
    return {option: path for option, path in values.items() if isinstance(path, Path) and path != Path("-")}


def _inputs(args: argparse.Namespace, names: Collection[str]) -> Iterator[Path]:
    for name in names:
        value = getattr(args, name, None)
        yield from (Path(one) for one in (value if isinstance(value, list) else [value]) if isinstance(one, str | Path))
    if isinstance(noise := getattr(args, "noise", None), str):
        # FILE:DECIBELS; the name of a colour in place of FILE names no file.
        yield Path(noise.rpartition(":")[0])


def _refuse_input(option: str, path: Path, inputs: Collection[Path]) -> None:
    if not _is_file(path):
        return
    where = f"{option} {path}"
    if any(_identity(path) == _identity(given) for given in inputs):
        raise UsageError("is an input of this command and would be overwritten", where=where, hint=_OTHER_NAME)
    # The result of an earlier run may lie among the recordings.
    if not _may_be_result(path) and any(_is_below(path, given) for given in inputs):
        raise UsageError("lies among the inputs and would be overwritten", where=where, hint=_OTHER_NAME)


def _refuse_other_kind(option: str, path: Path) -> None:
    # Written beside a model, under a name that no option gives.
    if path.suffix == _MEMORY_SUFFIX:
        raise UsageError("is the name of the memory of a model", where=f"{option} {path}", hint=_OTHER_NAME)
    if _is_file(path) and not _may_be_result(path):
        what = "would be overwritten, and is neither JSON, a picture nor a page"
        raise CannotCreateError(what, where=f"{option} {path}", hint=_OTHER_NAME)


def _status(path: Path) -> os.stat_result | None:
    # What cannot be read is reported where it is read or written.
    with suppress(OSError, ValueError):
        return path.stat()
    return None


def _is_file(path: Path) -> bool:
    status = _status(path)
    return status is not None and stat.S_ISREG(status.st_mode)


def _identity(path: Path) -> Hashable:
    """Return a value that is equal for all names of one file: links, and spellings of its path."""
    if (status := _status(path)) is not None:
        return status.st_dev, status.st_ino
    with suppress(OSError, ValueError):
        return os.path.realpath(path)
    return str(path)


def _is_below(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _may_be_result(path: Path) -> bool:
    """Return whether a command may have written the file at `path` as a result: JSON, a picture or a page."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError:
        # Whether it may be replaced is checked where it is written.
        return True
    text = start.lstrip()
    # The length of its header, with which a model begins, can look like a brace; its last bytes are 0.
    is_text = text[:1] in (b"{", b"<") and b"\0" not in start
    return not text or text.startswith(_PNG) or is_text
