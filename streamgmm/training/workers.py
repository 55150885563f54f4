"""Work on all cores, in an order and with results that do not depend on their number."""

from __future__ import annotations

import errno
import functools
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Lock, Thread
from typing import Any, Protocol, TypeVar

from threadpoolctl import threadpool_limits

from streamgmm.errors import SystemResourceError

logger = logging.getLogger("streamgmm.workers")

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_ITEMS_PER_MESSAGE = 4
"""Items handed to a process at once: more would make the last one to finish late."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Failures that have nothing to do with semaphores, and will hit the work too."""

_starting = Lock()


class Track(Protocol):
    """Passes `items` on and may show how far they are."""

    def __call__(self, items: Iterable[Item], description: str, total: int) -> Iterable[Item]:
        """Yield the items; `total` is how many there will be."""


def untracked(items: Iterable[Item], description: str, total: int) -> Iterable[Item]:
    """Show nothing."""
    return items


def prefixed(track: Track, prefix: str) -> Track:
    """`track` with a word before its descriptions."""

    def with_prefix(items: Iterable[Item], description: str, total: int) -> Iterable[Item]:
        return track(items, prefix + description, total)

    return with_prefix


def map_in_order(work: Callable[[Item], Result], items: Sequence[Item], n_jobs: int) -> Iterator[Result]:
    """Results of `work` on each item, in the order of the items.

    On a machine that has no semaphores (`can_start_processes`) all work is done in this process.

    Args:
        work: a function at the top level of a module that is not the script itself, or a partial of one.
        items: what to work on.
        n_jobs: processes; 0 for one per core, 1 to stay in this process.

    Raises:
        SystemResourceError: a process was killed.
    """
    n_processes = min(n_jobs or os.cpu_count() or 1, len(items))
    if n_processes <= 1 or not can_start_processes():
        with threadpool_limits(1):
            yield from map(work, items)
        return
    _silence_tracker()
    # Spawned, not forked: a fork would copy the locks of threads that do not exist in the child.
    context = get_context("spawn")
    lifeline, end = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(n_processes, context, _begin_process, (lifeline,))
    try:
        n_at_once = max(1, min(MAX_ITEMS_PER_MESSAGE, len(items) // n_processes))
        with _interrupts_held(), _script_unseen():
            results = pool.map(partial(_on_one_thread, work), items, chunksize=n_at_once)
        yield from results
        pool.shutdown()
    except BrokenProcessPool as error:
        hint = "is the memory full? use fewer with training.n_jobs"
        raise SystemResourceError("a worker process was killed", hint=hint) from error
    finally:
        end.close()
        lifeline.close()
        pool.shutdown(cancel_futures=True)


@functools.cache
def can_start_processes() -> bool:
    """Return whether processes can share work here: their queues need POSIX semaphores, which live in /dev/shm.

    Containers, chroots and hardened services may have that folder read-only or not at all. A line in the log,
    once, then gives the reason.
    """
    try:
        get_context("spawn").Semaphore()
    except (OSError, ImportError, NotImplementedError) as error:  # the latter two: built without semaphores
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            return True  # the attempt itself will report that
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        logger.warning("works in one process, which takes longer: /dev/shm holds no semaphores here (%s)", reason)
        return False
    return True


def _silence_tracker() -> None:
    """Keep the process that clears away after this one, should a signal end it, from telling the user so."""
    # It takes over these options when it is started, with the first process.
    option = "ignore:resource_tracker:UserWarning"
    if option not in sys.warnoptions:
        sys.warnoptions.append(option)


def map_in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Results of `work` on each item in order, on as many threads as cores: for numpy's large products.

    Each item has one BLAS and one OpenMP thread, so that results do not depend on the number of cores.
    """
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from pool.map(partial(_on_one_openmp_thread, work), items)


def _on_one_thread(work: Callable[[Item], Result], item: Item) -> Result:
    # Here and not when the process begins: only libraries that are loaded can be limited.
    with threadpool_limits(1):
        return work(item)


def _on_one_openmp_thread(work: Callable[[Item], Result], item: Item) -> Result:
    # OpenMP counts its threads anew for each thread that calls it, BLAS for the whole process.
    with threadpool_limits(1, user_api="openmp"):
        return work(item)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Processes started within never see Ctrl-C: this one does, afterwards, and ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _script_unseen() -> Iterator[None]:
    """Processes started within do not run the caller's script once more, as they would to find its functions.

    It may train at its top level then, without a condition around that, and costs nothing if it imports much.
    """
    with _starting:
        script = vars(sys.modules["__main__"])
        before: dict[str, Any] = {name: script[name] for name in ("__spec__", "__file__") if name in script}
        script |= dict.fromkeys(before)
        try:
            yield
        finally:
            script.update(before)


def _begin_process(lifeline: Connection) -> None:
    Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """End this process when the other end is closed: its results are not wanted any more, or its parent is dead."""
    lifeline.poll(None)
    os._exit(1)
