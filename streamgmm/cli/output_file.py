"""Output files named on the command line: checked before the work, and written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from streamgmm.errors import CannotCreateError, UsageError
from streamgmm.files import check_replaceable, reason_of, replace_atomically
from streamgmm.report.matplotlib_defaults import check_matplotlib

PICTURE_SUFFIXES = (".png", ".svg", "")
"""Allowed suffixes of pictures; without a suffix, the picture is PNG."""


def check_writable(path: Path | None) -> None:
    """Raise if no file can be written at `path`, before long work is done for it; None is allowed.

    Raises:
        CannotCreateError: its folder is missing or may not be written, or it is not a regular file.
    """
    if path is None:
        return
    try:
        if path.is_dir():
            raise CannotCreateError("is a folder", where=str(path), hint="name a file")
        check_replaceable(path)
    except (OSError, ValueError) as error:
        raise _cannot_create(path, error) from error


def check_picture(path: Path | None) -> None:
    """Raise if a picture cannot be drawn or written, before long work is done for it; None is allowed.

    Raises:
        UsageError: the suffix is neither .png nor .svg, or matplotlib is missing.
        CannotCreateError: see `check_writable`.
    """
    if path is None:
        return
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        what = f"pictures are drawn as PNG or SVG, not as {path.suffix}"
        raise UsageError(what, where=str(path), hint="end the name in .png or .svg")
    check_writable(path)

    check_matplotlib()


def make_folder(path: Path | None) -> None:
    """Create a folder for results unless it exists, before long work is done for it; None is allowed.

    Raises:
        CannotCreateError: the parent folder is missing or may not be written, or `path` is not a folder.
    """
    if path is None:
        return
    try:
        path.mkdir(exist_ok=True)
    # In spite of `exist_ok`, if `path` is not a folder.
    except FileExistsError as error:
        raise CannotCreateError("is not a folder", where=str(path), hint="name a folder") from error
    except (OSError, ValueError) as error:
        raise _cannot_create(path, error) from error


def write_json(value: Any, path: Path) -> None:
    """Write `value`, anything that msgspec encodes, as indented JSON, whole or not at all.

    Raises:
        CannotCreateError: it cannot be written.
    """
    write_file(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n", path)


def write_file(content: bytes, path: Path) -> None:
    """Write `content` whole or not at all.

    Raises:
        CannotCreateError: it cannot be written.
    """
    try:
        replace_atomically(path, content)
    except (OSError, ValueError) as error:
        raise _cannot_create(path, error) from error


def _cannot_create(path: Path, error: OSError | ValueError) -> CannotCreateError:
    return CannotCreateError(f"cannot be written: {reason_of(error)}", where=str(path), hint="does the folder exist?")
