"""The memory of a model on disk: `my.sgm-memory` beside `my.sgm`, both replaced or neither.

A model names its memory: the SHA-256 of the file stands in its card. So `tune`, which changes thresholds alone, leaves
the tie whole, and a memory that is damaged, or of another model, is never taken for its own.

Two files cannot be replaced in one step. So the new memory is first written as `my.sgm-memory.new`, then the model is
replaced, and only then the old memory: whenever that is cut short, one of the two memories is that of the model that
is there, and the next reader finds it.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from streamgmm.errors import DataError, InputMissingError, PermissionDeniedError, StreamgmmError
from streamgmm.files import check_replaceable, kind_of, look_at, move_whole, read_regular, replace_whole
from streamgmm.model.file import check_target, load_model, save_error, save_model
from streamgmm.model.model import Model
from streamgmm.training.enrolment.cache_format import (
    MAX_MEMORY_BYTES,
    TRAIN_AGAIN,
    MemoryFileError,
    memory_bytes,
    parse_memory,
)
from streamgmm.training.enrolment.training_cache import Memory

SUFFIX = "-memory"
PENDING_SUFFIX = ".new"
CARD_KEY = "memory_sha256"


def memory_path(model_path: Path) -> Path:
    """Where the memory of the model at `model_path` is kept."""
    return model_path.with_name(model_path.name + SUFFIX)


def pending_path(model_path: Path) -> Path:
    """Where a memory waits until its model is in place."""
    return model_path.with_name(model_path.name + SUFFIX + PENDING_SUFFIX)


def load_memory(model: Model, model_path: Path) -> Memory:
    """The memory of `model`, which was read from `model_path`.

    Raises:
        InputMissingError: there is none beside the model.
        MemoryFileError: it is not that of this model, or the model was made without one.
        PermissionDeniedError: it may not be read.
    """
    if CARD_KEY not in model.card:
        raise MemoryFileError("the model was made without a memory", where=str(model_path), hint=TRAIN_AGAIN)
    path = memory_path(model_path)
    data = _fitting_bytes(model, model_path)
    if data is None and kind_of(path) == "nothing":
        hint = f"fetch it from where the model was made, or {TRAIN_AGAIN}"
        raise InputMissingError("there is no memory of the model", where=str(path), hint=hint)
    if data is None:
        raise MemoryFileError("is not the memory of this model, or is damaged", where=str(path), hint=TRAIN_AGAIN)
    memory = parse_memory(data, str(path))
    if memory.task.spec != model.spec or memory.labels != sorted(model.labels):
        raise MemoryFileError("has other features or classes than its model", where=str(path), hint=TRAIN_AGAIN)
    if memory.has_cepstra != (model.classifier.cepstra is not None):
        raise MemoryFileError("does not say the same of frames as its model", where=str(path), hint=TRAIN_AGAIN)
    return memory


def has_memory(model: Model, model_path: Path) -> bool:
    """Whether the memory of `model` is beside it, whole.

    Raises:
        StreamgmmError: it may not be read.
    """
    return _fitting_bytes(model, model_path) is not None


def check_memory_target(model_path: Path) -> None:
    """Refuse a place where model and memory cannot be replaced, before any work is done for them.

    Raises:
        UsageError: it is not the name of a model.
        CannotCreateError: the directory is missing, or there is something else than a regular file.
        PermissionDeniedError: the directory, or the model, may not be written.
    """
    check_target(model_path)
    # A rename asks nobody whether the file that it replaces may be written.
    status = look_at(model_path)
    if status is not None and not status.st_mode & 0o222:
        hint = "name another place with --output"
        raise PermissionDeniedError("the model is read-only", where=str(model_path), hint=hint)
    _check_memories(model_path)


def save_with_memory(model: Model, memory: Memory, model_path: Path) -> Model:
    """Write `model` and its `memory`: whatever happens, a model is there, old or new, and the memory that fits it.

    Returns:
        The model as it was written, with the hash of the memory in its card and its own `sha256`.

    Raises:
        MemoryFileError: the memory is over a limit of its format.
        StreamgmmError: see `save_model`.
    """
    data = memory_bytes(memory)
    tied = replace(model, card={**model.card, CARD_KEY: hashlib.sha256(data).hexdigest()}, sha256="")
    return _save_both(tied, data, model_path)


def save_with_same_memory(model: Model, source: Path, model_path: Path) -> Model:
    """Write a `model` that differs from the one at `source` by its decisions alone, with the same memory if it has one.

    Raises:
        StreamgmmError: see `save_model`.
    """
    data = None if source == model_path else _fitting_bytes(model, source)
    return save_model(model, model_path) if data is None else _save_both(model, data, model_path)


def save_without_memory(model: Model, model_path: Path) -> Model:
    """Write `model`, and take away the memory of the model that it replaces.

    Raises:
        StreamgmmError: see `save_model`.
    """
    saved = save_model(model, model_path)
    for path in (memory_path(model_path), pending_path(model_path)):
        with suppress(OSError):
            path.unlink()
    return saved


def _save_both(model: Model, data: bytes, model_path: Path) -> Model:
    path, pending = memory_path(model_path), pending_path(model_path)
    _check_memories(model_path)
    try:
        _settle(model_path)
        replace_whole(pending, data)
        saved = save_model(model, model_path)
        move_whole(pending, path)
    except OSError as error:
        raise save_error(error, path, "the memory") from None
    finally:
        # Ctrl-C too, and nobody knows how far it came; a failure to clean up must not hide the first one.
        with suppress(OSError, StreamgmmError):
            _settle(model_path)
    return saved


def _check_memories(model_path: Path) -> None:
    for path in (memory_path(model_path), pending_path(model_path)):
        try:
            check_replaceable(path)
        except (OSError, ValueError) as error:
            raise save_error(error, path, "the memory") from None


def _settle(model_path: Path) -> None:
    """Finish a saving that was cut short: the memory that still waits is moved if its model is there, or discarded."""
    pending = pending_path(model_path)
    if kind_of(pending) == "nothing":
        return
    try:
        is_needed = _fits(load_model(model_path), read_regular(pending, MAX_MEMORY_BYTES))
    except (DataError, InputMissingError):
        is_needed = False
    if is_needed:
        move_whole(pending, memory_path(model_path))
    else:
        pending.unlink()


def _fitting_bytes(model: Model, model_path: Path) -> bytes | None:
    """The bytes of the memory whose hash `model` names; None if it is not beside it."""
    for path in (memory_path(model_path), pending_path(model_path)):
        with suppress(InputMissingError, DataError):
            data = read_regular(path, MAX_MEMORY_BYTES)
            if _fits(model, data):
                return data
    return None


def _fits(model: Model, data: bytes) -> bool:
    return model.card.get(CARD_KEY) == hashlib.sha256(data).hexdigest()
