"""Files of takes: numbered, whole, and never in the place of another one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from streamgmm.audio.encoding import FileFormat, encode_16_bit
from streamgmm.errors import CannotCreateError, OutputError, UsageError
from streamgmm.files import reason_of, replace_atomically
from streamgmm.label_folders import folder_error
from streamgmm.labels import BACKGROUND, is_reserved
from streamgmm.recording.takes import Take

_MAX_NUMBER = 1_000_000


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
        raise folder_error(error, folder) from error
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
