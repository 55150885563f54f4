"""Model files on disk: read once and completely, replaced atomically."""

from __future__ import annotations

import errno
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from streamgmm.errors import (
    CannotCreateError,
    DataError,
    OutputError,
    PermissionDeniedError,
    StreamgmmError,
    UsageError,
)
from streamgmm.files import check_replaceable, path_kind, read_regular_file, reason_of, replace_atomically
from streamgmm.model.header import MAX_MODEL_BYTES, content_sha256
from streamgmm.model.layout import LENGTH_BYTES
from streamgmm.model.model import Model
from streamgmm.model.model_error import ModelError, ModelErrorReason
from streamgmm.model.reader import parse_model
from streamgmm.model.writer import model_bytes

__all__ = [
    "MODEL_SUFFIX",
    "ModelError",
    "check_target",
    "load_model",
    "model_bytes",
    "parse_model",
    "save_error",
    "save_model",
]

MODEL_SUFFIX = ".sgm"

# Keys are sorted, so every cache begins like this after the length of its header (see `cache_format`).
_CACHE_START = b'{"__metadata__":{"format":"streamgmm-memory"'

# Disk full, quota used up, file too large, disk broken: the folder is in order, but the write failed.
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def load_model(path: Path | str) -> Model:
    """Load the model in the file `path`.

    The file is read once, so that the content that is hashed is the content that is used, even if another process
    writes the file meanwhile.

    Raises:
        InputMissingError: the file does not exist, or reading it failed.
        PermissionDeniedError: the file, or a folder on the way, may not be read.
        ModelError: the content is not a model that this build accepts.
    """
    source = Path(path)
    if path_kind(source, follow_symlinks=False) == "link":
        raise ModelError("not_regular", "a symbolic link", where=str(path), hint="name the file itself")
    try:
        data = read_regular_file(source, MAX_MODEL_BYTES)
    except DataError as error:
        _refuse_cache(source)
        reason: ModelErrorReason = "too_large" if path_kind(source) == "file" else "not_regular"
        raise ModelError(reason, error.what, where=str(path)) from None
    try:
        return parse_model(data, str(path))
    except ModelError:
        _refuse_cache(source)
        raise


def _refuse_cache(path: Path) -> None:
    """Raise if the file at `path` is the training cache of a model, which lies beside it under a longer name.

    Raises:
        ModelError: it is a training cache.
    """
    if path_kind(path) != "file":
        return
    start = b""
    with suppress(OSError), path.open("rb") as file:
        start = file.read(LENGTH_BYTES + len(_CACHE_START))
    if start[LENGTH_BYTES:] == _CACHE_START:
        is_beside = path.suffix.startswith(f"{MODEL_SUFFIX}-")
        name = path.with_suffix(MODEL_SUFFIX) if is_beside else "the model beside it"
        raise ModelError("foreign", "streamgmm's memory of a training", where=str(path), hint=f"name {name}")


def save_model(model: Model, path: Path | str) -> Model:
    """Write `model` to `path` atomically: whatever happens, the file is the complete old or the complete new one.

    Returns:
        The model with the `sha256` of its file.

    Raises:
        UsageError: `path` does not end in `.sgm`.
        CannotCreateError: the directory is missing or read-only, or `path` is not a regular file.
        OutputError: the disk is full or failed.
        PermissionDeniedError: the directory may not be written.
        ModelError: the model exceeds a limit of the format.
    """
    target = Path(path)
    check_target(target)
    # Complete before the disk is touched, so that an invalid model leaves no trace.
    data = model_bytes(model)
    try:
        replace_atomically(target, data)
    except (OSError, ValueError) as error:
        raise save_error(error, target) from None
    return replace(model, sha256=content_sha256(data))


def check_target(path: Path | str) -> None:
    """Raise an error if a model cannot be saved to `path`, before time is spent on its training.

    Raises:
        UsageError: `path` does not end in `.sgm`.
        CannotCreateError: the directory is missing, or `path` is not a regular file.
        PermissionDeniedError: the directory may not be written.
    """
    target = Path(path)
    if target.suffix != MODEL_SUFFIX:
        hint = f"use a name that ends in {MODEL_SUFFIX}"
        raise UsageError("not the name of a model file", where=str(target), hint=hint)
    try:
        check_replaceable(target)
    except (OSError, ValueError) as error:
        raise save_error(error, target) from None


def save_error(error: OSError | ValueError, target: Path, thing: str = "the model") -> StreamgmmError:
    """Return the error to raise if `thing` cannot be written to `target`."""
    what = f"cannot write {thing}: {reason_of(error)}"
    if isinstance(error, PermissionError):
        return PermissionDeniedError(what, where=str(target))
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return OutputError(what, where=str(target), hint=f"{thing} that was there before is unchanged")
    return CannotCreateError(what, where=str(target))
