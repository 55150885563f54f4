"""Reading the text files that describe a data set."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from streamgmm.errors import DataError
from streamgmm.files import read_regular

MAX_TEXT_BYTES = 256 * 2**20
"""Largest manifest or list of events that is read: about two million lines."""


def has_control_characters(text: str) -> bool:
    """Whether `text` holds what no name of a file should: a NUL even ends a path for the system."""
    return any(unicodedata.category(character) == "Cc" for character in text)


def read_text(path: Path) -> str:
    """The content of a UTF-8 file, without its byte order mark; line ends are left as they are.

    Raises:
        InputMissingError: there is no such file.
        PermissionDeniedError: it may not be read.
        DataError: it is not a regular file, not UTF-8, or too large.
    """
    content = read_regular(path, MAX_TEXT_BYTES)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"line {line}: not UTF-8", where=str(path), hint="save it as UTF-8") from error
