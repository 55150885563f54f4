"""The lock of a model, held from reading the model to writing its changed version."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamgmm.errors import CannotCreateError, PermissionDeniedError

# NOFOLLOW and NONBLOCK: neither a link nor a pipe with the name of the lock file may mislead or block the process.
_LOCK_FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

OnWait = Callable[[str], None]
"""Called once, before waiting for a lock, with a line that names its holder."""


def lock_path(model_path: Path) -> Path:
    """Return the path of the lock file of the model at `model_path`."""
    return model_path.with_name(f".{model_path.name}.lock")


@contextmanager
def model_lock(model_path: Path, on_wait: OnWait) -> Iterator[None]:
    """Hold the lock of a model while it is changed; wait if another process holds it.

    The lock is a kernel lock on an open file (flock), which ends with the process that holds it: a lock file left by a
    killed process blocks nobody. At the end, the file is removed while it is still locked. A process that then gets the
    lock of the removed file notices this, and tries again with the new file.

    Where such locks are not available (some network file systems, Windows), nothing is locked.

    Args:
        model_path: path of the model, which need not exist yet.
        on_wait: see `OnWait`.

    Raises:
        CannotCreateError: the lock file is not a regular file, or its folder is missing.
        PermissionDeniedError: the user may not create the lock file.
    """
    path = lock_path(model_path)
    descriptor = _acquire(path, on_wait)
    if descriptor is None:
        yield
        return
    try:
        yield
    finally:
        # Removed before it is unlocked: afterwards, the file could be the lock of another process.
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _acquire(path: Path, on_wait: OnWait) -> int | None:
    """Return the descriptor of the locked file; None if locks are not available."""
    if os.name != "posix":
        return None
    while True:
        descriptor = _open_lock_file(path)
        try:
            is_locked = _lock_or_wait(descriptor, path, on_wait)
        # Ctrl-C while waiting for the lock must not leak the descriptor.
        except BaseException:
            os.close(descriptor)
            raise
        # The previous holder may have removed the file between opening and locking it.
        if is_locked and _is_in_place(descriptor, path):
            # The process number is for the message of a process that waits. Writing it fails if the lock file belongs
            # to another user, which does not matter.
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return descriptor
        os.close(descriptor)
        if not is_locked:
            return None


def _lock_or_wait(descriptor: int, path: Path, on_wait: OnWait) -> bool:
    """Lock an open file, waiting if necessary; return False if locks are not available."""
    # Not at the top of the module: Windows has no `fcntl`.
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        on_wait(f"{path}: waiting for {f'process {owner}' if owner else 'another process'}, which changes the model")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def _is_in_place(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _open_lock_file(path: Path) -> int:
    try:
        descriptor = _open_or_create(path)
    except OSError as error:
        raise _lock_error(error, path) from error
    # Checked on the open file, not on its name, which could change in between.
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular(path)
    return descriptor


def _open_or_create(path: Path) -> int:
    try:
        return os.open(path, _LOCK_FLAGS | os.O_CREAT, 0o666)
    except PermissionError:
        # A file of another user can still be locked if it is readable.
        return os.open(path, _LOCK_FLAGS & ~os.O_RDWR)


def _lock_error(error: OSError, path: Path) -> CannotCreateError | PermissionDeniedError:
    with suppress(OSError):
        if not stat.S_ISREG(path.lstat().st_mode):
            return _not_regular(path)
    if isinstance(error, PermissionError):
        return PermissionDeniedError("the lock of the model cannot be created", where=str(path))
    return CannotCreateError(f"the lock of the model cannot be created: {error.strerror}", where=str(path))


def _not_regular(path: Path) -> CannotCreateError:
    hint = "move it away: the lock of the model goes there"
    return CannotCreateError("is not a regular file", where=str(path), hint=hint)
