"""Files of the training cache: `my.sgm-memory` beside `my.sgm`, both replaced or neither.

The card of a model holds the SHA-256 of its cache file. So `tune`, which only changes thresholds, keeps the cache
valid, and a cache that is damaged or belongs to another model is never used.

Two files cannot be replaced in one step. Therefore the new cache is first written as `my.sgm-memory.new`, then the
model is replaced, and then the old cache: after an interruption at any point, one of the two cache files belongs to the
model on disk, and the next reader finds it.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from streamgmm.errors import DataError, InputMissingError, PermissionDeniedError, StreamgmmError
from streamgmm.files import (
    check_replaceable,
    path_kind,
    path_status,
    read_regular_file,
    rename_durably,
    replace_atomically,
)
from streamgmm.model.file import check_target, load_model, save_error, save_model
from streamgmm.model.model import Model
from streamgmm.training.enrolment.cache_format import (
    MAX_CACHE_BYTES,
    TRAIN_AGAIN,
    CacheFileError,
    cache_bytes,
    parse_cache,
)
from streamgmm.training.enrolment.training_cache import TrainingCache

CACHE_SUFFIX = "-memory"
PENDING_CACHE_SUFFIX = ".new"
CARD_KEY = "memory_sha256"
"""Key of the card for the hash of the cache file; it and the suffixes belong to the file format, and never change."""


def cache_path(model_path: Path) -> Path:
    """Return the path of the training cache of the model at `model_path`."""
    return model_path.with_name(model_path.name + CACHE_SUFFIX)


def pending_path(model_path: Path) -> Path:
    """Return the path of a new cache file until its model is written."""
    return model_path.with_name(model_path.name + CACHE_SUFFIX + PENDING_CACHE_SUFFIX)


def load_cache(model: Model, model_path: Path) -> TrainingCache:
    """Load the training cache of `model`, which was read from `model_path`.

    Raises:
        InputMissingError: there is no cache file beside the model.
        CacheFileError: the cache belongs to another model, or the model was trained without one.
        PermissionDeniedError: the cache file may not be read.
    """
    if CARD_KEY not in model.card:
        raise CacheFileError("the model was trained without a training cache", where=str(model_path), hint=TRAIN_AGAIN)
    path = cache_path(model_path)
    data = _matching_bytes(model, model_path)
    if data is None and path_kind(path) == "nothing":
        hint = f"copy it from where the model was trained, or {TRAIN_AGAIN}"
        raise InputMissingError("the training cache of the model is missing", where=str(path), hint=hint)
    if data is None:
        raise CacheFileError("is damaged, or the training cache of another model", where=str(path), hint=TRAIN_AGAIN)
    cache = parse_cache(data, str(path))
    # A matching hash does not prove that both belong together: the card is plain data that any program can write.
    if cache.task.spec != model.spec or cache.labels != sorted(model.labels):
        raise CacheFileError("has other features or classes than its model", where=str(path), hint=TRAIN_AGAIN)
    if cache.has_cepstra != (model.classifier.cepstra is not None):
        raise CacheFileError("disagrees with its model about cepstral frames", where=str(path), hint=TRAIN_AGAIN)
    return cache


def has_cache(model: Model, model_path: Path) -> bool:
    """Return whether the undamaged training cache of `model` is beside it.

    Raises:
        StreamgmmError: it may not be read.
    """
    return _matching_bytes(model, model_path) is not None


def check_cache_target(model_path: Path) -> None:
    """Reject a path where model and cache cannot be written, before any work is done.

    Raises:
        UsageError: it is not the name of a model file.
        CannotCreateError: the directory is missing, or one of the files is not a regular file.
        PermissionDeniedError: the directory or the model is not writable.
    """
    check_target(model_path)
    # A rename replaces read-only files without asking, so the mode is checked here.
    status = path_status(model_path)
    if status is not None and not status.st_mode & 0o222:
        hint = "name another place with --output"
        raise PermissionDeniedError("the model is read-only", where=str(model_path), hint=hint)
    _check_cache_files(model_path)


def save_with_cache(model: Model, cache: TrainingCache, model_path: Path) -> Model:
    """Write `model` and its training cache so that at any time a model, old or new, is there with its own cache.

    Returns:
        The model as written, with the hash of the cache in its card and its own `sha256`.

    Raises:
        CacheFileError: the cache exceeds a limit of its format.
        StreamgmmError: see `save_model`.
    """
    data = cache_bytes(cache)
    # The hash of the cache goes into the card first; the hash of the model, which covers the card, is computed on save.
    linked = replace(model, card={**model.card, CARD_KEY: hashlib.sha256(data).hexdigest()}, sha256="")
    return _save_both(linked, data, model_path)


def save_with_same_cache(model: Model, source: Path, model_path: Path) -> Model:
    """Write a `model` that differs from the one at `source` only in its decisions, with the same cache if it has one.

    Raises:
        StreamgmmError: see `save_model`.
    """
    # In place, the cache file stays where it is: its hash in the card has not changed.
    data = None if source == model_path else _matching_bytes(model, source)
    return save_model(model, model_path) if data is None else _save_both(model, data, model_path)


def save_without_cache(model: Model, model_path: Path) -> Model:
    """Write `model`, and delete the cache of the model that it replaces.

    Raises:
        StreamgmmError: see `save_model`.
    """
    saved = save_model(model, model_path)
    # After the model, and without errors: the hash in its card already excludes any cache that could not be deleted.
    for path in (cache_path(model_path), pending_path(model_path)):
        with suppress(OSError):
            path.unlink()
    return saved


def _save_both(model: Model, data: bytes, model_path: Path) -> Model:
    path, pending = cache_path(model_path), pending_path(model_path)
    _check_cache_files(model_path)
    try:
        # Before anything is written: the pending file of an interrupted save may be the only cache of the model on
        # disk.
        _finish_interrupted_save(model_path)
        replace_atomically(pending, data)
        saved = save_model(model, model_path)
        rename_durably(pending, path)
    except OSError as error:
        raise save_error(error, path, "the training cache") from None
    finally:
        # Also after Ctrl-C, at an unknown point. An error of the cleanup must not hide the first one.
        with suppress(OSError, StreamgmmError):
            _finish_interrupted_save(model_path)
    return saved


def _check_cache_files(model_path: Path) -> None:
    for path in (cache_path(model_path), pending_path(model_path)):
        try:
            check_replaceable(path)
        except (OSError, ValueError) as error:
            raise save_error(error, path, "the training cache") from None


def _finish_interrupted_save(model_path: Path) -> None:
    """Finish an interrupted save: move a pending cache file if its model was written, or delete it."""
    pending = pending_path(model_path)
    if path_kind(pending) == "nothing":
        return
    try:
        # A pending file whose hash the model names belongs to a save that only lacked its last step.
        is_needed = _matches(load_model(model_path), read_regular_file(pending, MAX_CACHE_BYTES))
    # A model that is missing or damaged has no cache.
    except (DataError, InputMissingError):
        is_needed = False
    if is_needed:
        rename_durably(pending, cache_path(model_path))
    else:
        pending.unlink()


def _matching_bytes(model: Model, model_path: Path) -> bytes | None:
    """Return the bytes of the cache file whose hash is in the card of `model`; None if there is none."""
    # A pending file counts too: the last save may have been interrupted after the model was replaced.
    for path in (cache_path(model_path), pending_path(model_path)):
        with suppress(InputMissingError, DataError):
            data = read_regular_file(path, MAX_CACHE_BYTES)
            if _matches(model, data):
                return data
    return None


def _matches(model: Model, data: bytes) -> bool:
    return model.card.get(CARD_KEY) == hashlib.sha256(data).hexdigest()
