"""Errors of recordings, with the reason for which a recording is rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NoReturn

from streamgmm.errors import DataError, InputMissingError, PermissionDeniedError

RecordingReason = Literal[
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
"""Reasons for which a recording is rejected."""


class RecordingError(DataError):
    """Raised when a recording is unusable.

    Args:
        what: description of the problem in one line.
        reason: reason as a keyword, for counters.
        where: name of the file.
        hint: advice for the user.
    """

    def __init__(self, what: str, *, reason: RecordingReason, where: str = "", hint: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.reason: RecordingReason = reason


class RecordingMissingError(RecordingError, InputMissingError):
    """Raised when the file does not exist, or no longer exists."""

    # Set here, because the exit code of DataError would come first in the order of the bases.
    exit_code = InputMissingError.exit_code


class RecordingDeniedError(RecordingError, PermissionDeniedError):
    """Raised when the user is not permitted to read the file."""

    exit_code = PermissionDeniedError.exit_code


def refuse(error: OSError | ValueError, path: Path) -> NoReturn:
    """Raise the `RecordingError` that corresponds to an error of the operating system.

    Raises:
        RecordingError: always.
    """
    where = str(path)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        raise RecordingMissingError("there is no such file", reason="vanished", where=where) from error
    if isinstance(error, PermissionError):
        what = "may not be read by this user"
        raise RecordingDeniedError(what, reason="denied", where=where, hint="change its permissions") from error
    # ValueError, as for a path with a NUL character, has no `strerror`.
    what = f"cannot be opened: {getattr(error, 'strerror', None) or error}"
    raise RecordingError(what, reason="unreadable", where=where) from error
