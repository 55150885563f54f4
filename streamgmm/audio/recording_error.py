"""Reasons for which a recording is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NoReturn

from streamgmm.errors import DataError, InputMissingError, PermissionDeniedError

Reason = Literal[
    "bad_header",
    "denied",
    "empty",
    "no_such_channel",
    "nonfinite",
    "not_audio",
    "not_regular",
    "out_of_range",
    "symlink",
    "too_large",
    "too_long",
    "undecodable",
    "unreadable",
    "unsupported",
    "vanished",
]
"""Every reason for which a recording is refused."""


class RecordingError(DataError):
    """A recording is unusable.

    Args:
        what: what was wrong, in one line.
        reason: the same for counting.
        where: the file.
        hint: what to do about it.
    """

    def __init__(self, what: str, *, reason: Reason, where: str = "", hint: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.reason: Reason = reason


class RecordingMissingError(RecordingError, InputMissingError):
    """There is no such file, or not any more."""

    exit_code = InputMissingError.exit_code


class RecordingDeniedError(RecordingError, PermissionDeniedError):
    """The user may not read the file."""

    exit_code = PermissionDeniedError.exit_code


def refuse(error: OSError | ValueError, path: Path) -> NoReturn:
    """Raise what the operating system's refusal means.

    Raises:
        RecordingError: always.
    """
    where = str(path)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        raise RecordingMissingError("there is no such file", reason="vanished", where=where) from error
    if isinstance(error, PermissionError):
        what = "may not be read by this user"
        raise RecordingDeniedError(what, reason="denied", where=where, hint="change its permissions") from error
    what = f"cannot be opened: {getattr(error, 'strerror', None) or error}"
    raise RecordingError(what, reason="unreadable", where=where) from error
