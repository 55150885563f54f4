"""Files of takes: numbered, whole, and never in the place of another one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from streamgmm.audio.encoding import FileFormat, encode_16_bit
from streamgmm.errors import CannotCreateError, OutputError, PermissionDeniedError, StreamgmmError, UsageError
from streamgmm.files import check_replaceable, reason_of, replace_atomically
from streamgmm.labels import BACKGROUND, check_label, is_reserved
from streamgmm.recording.takes import Take

_MAX_NUMBER = 1_000_000


def folder_for(directory: Path, label: str) -> Path:
    """Return the folder of a label's recordings, made if it is missing.

    Raises:
        DataError: `label` is not a valid label.
        UsageError: it is hidden, and no training would find it.
        CannotCreateError, PermissionDeniedError: the folder cannot be made, or not be written.
    """
    label = check_label(label)
    folder = directory / label
    if label.startswith("."):
        raise UsageError("a label cannot begin with a dot: its folder would be hidden", where=label)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_replaceable(folder / "take")
    except OSError as error:
        raise _folder_error(error, folder) from error
    return folder


def refuse_reserved(label: str) -> None:
    """Reject a label that never makes an event.

    Raises:
        UsageError: `label` is reserved.
    """
    if is_reserved(label):
        hint = "record the room with --background MINUTES" if label == BACKGROUND else "choose another name"
        raise UsageError("this label is reserved: it never makes an event", where=label, hint=hint)


def save_take(take: Take, folder: Path, file_format: FileFormat) -> Path:
    """Write a take under the next free number, and return its path.

    Raises:
        OutputError: writing failed, e.g. because the disk is full; nothing is left of it.
        CannotCreateError, PermissionDeniedError: the folder has vanished, or may not be written.
    """
    content = encode_16_bit(take.samples, take.sample_rate_hz, file_format)
    try:
        path = _reserve(folder, file_format)
        try:
            replace_atomically(path, content)
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        raise _folder_error(error, folder) from error
    except OSError as error:
        raise OutputError(f"cannot write: {reason_of(error)}", where=str(folder)) from error
    return path


def _reserve(folder: Path, file_format: FileFormat) -> Path:
    """Create an empty file under the lowest number above all that are there."""
    numbers = [_number_of(entry.name, folder.name) for entry in os.scandir(folder)]
    for number in range(max(numbers, default=0) + 1, _MAX_NUMBER):
        path = folder / f"{folder.name}_{number:03d}.{file_format}"
        # Another recorder may take the same number meanwhile: only one of them creates the file.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return path
    raise CannotCreateError("there is no free number left", where=str(folder))


def _number_of(name: str, label: str) -> int:
    digits = name.rpartition(".")[0].removeprefix(f"{label}_")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < len(str(_MAX_NUMBER)) else 0


def _folder_error(error: OSError, folder: Path) -> StreamgmmError:
    if isinstance(error, PermissionError):
        return PermissionDeniedError("permission denied", where=str(folder), hint="choose another directory with -o")
    return CannotCreateError(f"cannot be written: {reason_of(error)}", where=str(folder))
