"""One change of a model at a time: whoever reads a model to write it changed holds its lock meanwhile."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamgmm.errors import CannotCreateError, PermissionDeniedError

_FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

OnWait = Callable[[str], None]
"""Is told once, in a line, who holds the lock that has to be waited for."""


def lock_path(model_path: Path) -> Path:
    """Where the lock of the model at `model_path` is while somebody changes it."""
    return model_path.with_name(f".{model_path.name}.lock")


@contextmanager
def model_lock(model_path: Path, on_wait: OnWait) -> Iterator[None]:
    """Hold the lock of a model that is to be changed, which may not be there yet; wait if another process has it.

    The lock is that of the kernel on an open file (flock), so that it ends with its holder, however that ends: a file
    that is left behind by a kill locks nobody out. The file is removed at the end while it is still locked; who gets
    the lock of a removed file tries again with the one that is there.

    Where there are no such locks (some network file systems, Windows), nothing is locked.

    Args:
        model_path: of the model that will be written.
        on_wait: see `OnWait`.

    Raises:
        CannotCreateError: something else than a regular file has the name of the lock, or the folder is missing.
        PermissionDeniedError: the user may not create it.
    """
    path = lock_path(model_path)
    descriptor = _acquire(path, on_wait)
    if descriptor is None:
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _acquire(path: Path, on_wait: OnWait) -> int | None:
    """The descriptor of the locked file; None if there are no locks here."""
    if os.name != "posix":
        return None
    while True:
        descriptor = _open(path)
        try:
            is_locked = _lock(descriptor, path, on_wait)
        except BaseException:
            os.close(descriptor)
            raise
        if is_locked and _is_in_place(descriptor, path):
            # Who waits wants to know for whom; somebody else's lock file may be readable only.
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return descriptor
        os.close(descriptor)
        if not is_locked:
            return None


def _lock(descriptor: int, path: Path, on_wait: OnWait) -> bool:
    """Lock an open file, waiting for it if need be; False if there are no locks here."""
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


def _open(path: Path) -> int:
    try:
        descriptor = _open_or_create(path)
    except OSError as error:
        raise _open_error(error, path) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular(path)
    return descriptor


def _open_or_create(path: Path) -> int:
    try:
        return os.open(path, _FLAGS | os.O_CREAT, 0o666)
    except PermissionError:
        # A file of another user can be locked by whoever may read it.
        return os.open(path, _FLAGS & ~os.O_RDWR)


def _open_error(error: OSError, path: Path) -> CannotCreateError | PermissionDeniedError:
    with suppress(OSError):
        if not stat.S_ISREG(path.lstat().st_mode):
            return _not_regular(path)
    if isinstance(error, PermissionError):
        return PermissionDeniedError("the lock of the model cannot be created", where=str(path))
    return CannotCreateError(f"the lock of the model cannot be created: {error.strerror}", where=str(path))


def _not_regular(path: Path) -> CannotCreateError:
    hint = "move it away: the lock of the model goes there"
    return CannotCreateError("is not a regular file", where=str(path), hint=hint)
