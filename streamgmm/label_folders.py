"""Folders of recordings that are named after their label, as training reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamgmm.errors import CannotCreateError, PermissionDeniedError, StreamgmmError, UsageError
from streamgmm.files import check_replaceable, reason_of
from streamgmm.labels import can_be_label, check_label, check_labels


def folder_for(directory: Path, label: str) -> Path:
    """Return the folder of a label's recordings, made if it is missing.

    Raises:
        DataError: `label` is not a valid label, or differs from a label that has a folder only by case or Unicode form,
            so that no training would take both.
        UsageError: it is hidden, and no training would find it.
        CannotCreateError, PermissionDeniedError: the folder cannot be made, or not be written.
    """
    label = check_label(label)
    folder = directory / label
    if label.startswith("."):
        raise UsageError("a label cannot begin with a dot: its folder would be hidden", where=label)
    for other in _subfolder_names(directory):
        if can_be_label(other) and check_label(other) != label:
            check_labels([other, label])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_replaceable(folder / "take")
    except OSError as error:
        raise folder_error(error, folder) from error
    return folder


@contextmanager
def folder_if_used(directory: Path, label: str) -> Iterator[Path]:
    """Yield the folder of a label's recordings, and remove at the end what was made for it and is still empty.

    Raises:
        StreamgmmError: see `folder_for`.
    """
    folder = directory / check_label(label)
    made = [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
    try:
        yield folder_for(directory, label)
    finally:
        # The innermost first; one that is not empty stays, and so do those around it.
        for place in made:
            with suppress(OSError):
                place.rmdir()


def _subfolder_names(directory: Path) -> list[str]:
    # What cannot be read is reported where the folder is made.
    with suppress(OSError), os.scandir(directory) as entries:
        return [entry.name for entry in entries if entry.is_dir()]
    return []


def folder_error(error: OSError, folder: Path) -> StreamgmmError:
    """Return the error for users of a folder that cannot be made or written."""
    if isinstance(error, PermissionError):
        return PermissionDeniedError("permission denied", where=str(folder), hint="choose another directory with -o")
    return CannotCreateError(f"cannot be written: {reason_of(error)}", where=str(folder))
