"""Memory limits of the process (`ulimit -v`), and detection of out-of-memory errors in their many forms."""

from __future__ import annotations

import os

from streamgmm.errors import SystemResourceError

MIN_BYTES = 232 * 2**20
"""Minimum address space: with less, OpenBLAS ends the process with code 1, or retries forever, and soxr aborts it."""

MIN_TRAINING_BYTES = 1024 * 2**20
"""Minimum address space for commands that import scipy, which loads a second OpenBLAS."""

SMALL_BYTES = 2**31
"""Below this limit OpenBLAS uses one thread: each further thread takes 30 MiB or more, too much on many cores."""

# Without the first letter where messages differ in its case.
_SIGNS = ("failed to map segment", "annot allocate memory", "can't start new thread", "Unable to allocate")
"""Parts of messages that the dynamic loader, the system, Python and numpy give when out of memory."""


def memory_limit_bytes() -> int | None:
    """Return the limit on the address space of this process; None if there is none."""
    if os.name != "posix":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


def prepare_for_memory_limit(min_bytes: int) -> None:
    """Adapt to a small memory limit; call this before numpy is imported, as OpenBLAS reads its settings then.

    Args:
        min_bytes: `MIN_BYTES` or `MIN_TRAINING_BYTES`.

    Raises:
        SystemResourceError: the limit is below `min_bytes`.
    """
    limit_bytes = memory_limit_bytes()
    if limit_bytes is None:
        return
    if limit_bytes < min_bytes:
        what = f"memory is limited to {_mib(limit_bytes)} MiB, at least {_mib(min_bytes)} are needed"
        raise SystemResourceError(what, hint="raise ulimit -v")
    if limit_bytes < SMALL_BYTES:
        # A number that the user has set stays.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether an exception, or one of its causes, is an out-of-memory error."""
    # Causes can be set by hand, and form a cycle then.
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, MemoryError) or any(sign in str(error) for sign in _SIGNS):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def out_of_memory_error(error: BaseException) -> SystemResourceError:
    """Return the error that reports that memory ran out to the user."""
    limit_bytes = memory_limit_bytes()
    where, reason = "", str(error)
    if isinstance(error, OSError) and error.filename is not None:
        where, reason = str(error.filename), str(error.strerror)
    # A failed import of a library can have a message of many lines.
    details = reason.strip().split("\n", maxsplit=1)[0]
    what = f"the memory is full: {details}" if details else "the memory is full"
    limit = f"it is limited to {_mib(limit_bytes)} MiB: raise ulimit -v" if limit_bytes else "close other programs"
    return SystemResourceError(what, where=where, hint=limit)


def _mib(n_bytes: int) -> int:
    return n_bytes // 2**20
