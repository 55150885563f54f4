"""Read the text files of data sets."""

from __future__ import annotations

import codecs
import unicodedata
from pathlib import Path

from streamgmm.errors import DataError
from streamgmm.files import read_regular_file

MAX_TEXT_BYTES = 256 * 2**20
"""Largest manifest or event list: about two million lines."""


def has_control_characters(text: str) -> bool:
    """Return whether `text` contains control characters, which file names should not; a NUL ends a path."""
    return any(unicodedata.category(character) == "Cc" for character in text)


def read_text(path: Path) -> str:
    """Read a text file without its byte order mark; line ends are unchanged.

    The encoding is UTF-8, whatever the locale, or UTF-16 with a byte order mark, as spreadsheets and Windows write it.

    Raises:
        InputMissingError: there is no such file.
        PermissionDeniedError: it may not be read.
        DataError: it is not a regular file, in another encoding, or too large.
    """
    content = read_regular_file(path, MAX_TEXT_BYTES)
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = f"line {line}: not UTF-{16 if is_wide else 8}"
        raise DataError(what, where=str(path), hint="save it as UTF-8") from error
