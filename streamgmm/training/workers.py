"""Executors: run independent jobs in parallel, with results that do not depend on the number of workers.

A job is a function at the top level of a module applied to plain values (structs, arrays, paths), so it can be pickled
and run in another process, or later on another machine. Each job has one BLAS and one OpenMP thread: the order in which
several threads add floating-point numbers up would change the last bits, and the same training must give the same bytes
on every machine.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from threading import Lock, Thread
from typing import Any, Protocol, TypeVar

from threadpoolctl import threadpool_limits

from streamgmm.cores import count_cores
from streamgmm.errors import SystemResourceError

logger = logging.getLogger("streamgmm.workers")

JobItem = TypeVar("JobItem")
Result = TypeVar("Result")

MAX_ITEMS_PER_MESSAGE = 4
"""Most items sent to a process at once: with more, one process would still work when all others have finished."""

_RESOURCE_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors that do not concern semaphores in particular, and that the work itself will meet too."""

_starting = Lock()


class ProgressTracker(Protocol):
    """Pass items on and optionally show the progress."""

    def __call__(self, items: Iterable[JobItem], description: str, total: int) -> Iterable[JobItem]:
        """Yield the items; `total` is their number."""


def untracked(items: Iterable[JobItem], description: str, total: int) -> Iterable[JobItem]:
    """Return the items without showing any progress."""
    return items


def prefixed(track: ProgressTracker, prefix: str) -> ProgressTracker:
    """Return a tracker that puts `prefix` before the descriptions of `track`."""

    def with_prefix(items: Iterable[JobItem], description: str, total: int) -> Iterable[JobItem]:
        return track(items, prefix + description, total)

    return with_prefix


class Executor(Protocol):
    """Run jobs somewhere: in processes of this machine, in its threads, or on a cluster."""

    def map(self, work: Callable[[JobItem], Result], items: Sequence[JobItem]) -> Iterator[Result]:
        """Yield the result of `work` for each item, in the order of the items.

        Closing the iterator early cancels the jobs that are left. An exception of a job is raised here.

        Args:
            work: a function at the top level of a module that is not the script itself, or a partial of one.
            items: plain values, one per job.

        Raises:
            SystemResourceError: a worker died.
        """


class ProcessExecutor:
    """Run jobs in processes of this machine.

    On a machine without semaphores (see `can_start_processes`) all jobs run in this process.

    Args:
        n_jobs: number of processes; 0 for one per core, 1 to stay in this process.
    """

    def __init__(self, n_jobs: int) -> None:
        self._n_jobs = n_jobs

    def map(self, work: Callable[[JobItem], Result], items: Sequence[JobItem]) -> Iterator[Result]:
        """Yield results in order; see `Executor.map`."""
        n_processes = min(self._n_jobs or count_cores(), len(items))
        if n_processes <= 1 or not can_start_processes():
            with threadpool_limits(1):
                yield from map(work, items)
            return
        # Spawned, not forked: a fork would copy the locks of threads that do not exist in the child.
        context = get_context("spawn")
        # This process alone holds the writing end, so it closes even if the process is killed.
        lifeline, end = context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(n_processes, context, end_with_parent, (lifeline,))
        try:
            n_at_once = max(1, min(MAX_ITEMS_PER_MESSAGE, len(items) // n_processes))
            # All jobs are submitted, and so all processes started, before `pool.map` returns.
            with starting_processes():
                results = pool.map(partial(_on_one_thread, work), items, chunksize=n_at_once)
            yield from results
            # All results have arrived: the processes end in order, before the closed pipe would end them.
            pool.shutdown()
        except BrokenProcessPool as error:
            hint = "is the memory full? use fewer with training.n_jobs"
            raise SystemResourceError("a worker process was killed", hint=hint) from error
        finally:
            # The closed pipe ends processes that are still busy, so `shutdown` does not wait for unwanted results.
            end.close()
            lifeline.close()
            pool.shutdown(cancel_futures=True)


class ThreadExecutor:
    """Run jobs on as many threads as there are cores: for numpy's large products, which share their arrays."""

    def map(self, work: Callable[[JobItem], Result], items: Sequence[JobItem]) -> Iterator[Result]:
        """Yield results in order; see `Executor.map`."""
        # BLAS has one thread count for the whole process, so it is limited before the threads start.
        with threadpool_limits(1), ThreadPoolExecutor(count_cores()) as pool:
            yield from pool.map(partial(_on_one_openmp_thread, work), items)


_chosen: ContextVar[Executor | None] = ContextVar("chosen", default=None)


@contextmanager
def jobs_on(executor: Executor) -> Iterator[None]:
    """Run the jobs of `map_in_order` on `executor` within, in place of processes of this machine."""
    token = _chosen.set(executor)
    try:
        yield
    finally:
        _chosen.reset(token)


def map_in_order(work: Callable[[JobItem], Result], items: Sequence[JobItem], n_jobs: int) -> Iterator[Result]:
    """Yield the result of `work` for each item, in order, from `n_jobs` processes or the executor of `jobs_on`."""
    executor = _chosen.get() or ProcessExecutor(n_jobs)
    return executor.map(work, items)


def run_job(job: Callable[[], Result]) -> Result:
    """Return the result of `job`, a partial of a top-level function: lets one executor run functions that differ."""
    return job()


@functools.cache
def can_start_processes() -> bool:
    """Return whether processes can share work here: their queues need POSIX semaphores, which live in /dev/shm.

    Containers, chroots and hardened services may have that folder read-only or not at all. The reason is logged once.
    """
    try:
        get_context("spawn").Semaphore()
    except (OSError, ImportError, NotImplementedError) as error:  # the latter two: built without semaphores
        if isinstance(error, OSError) and error.errno in _RESOURCE_EXHAUSTED:
            return True  # starting the processes will fail with a message of its own
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        logger.warning("works in one process, which takes longer: /dev/shm holds no semaphores here (%s)", reason)
        return False
    return True


def silence_tracker() -> None:
    """Keep multiprocessing's resource tracker from printing warnings when a signal ends this process."""
    # The tracker takes these options over when it is started, with the first process.
    option = "ignore:resource_tracker:UserWarning"
    if option not in sys.warnoptions:
        sys.warnoptions.append(option)


def _on_one_thread(work: Callable[[JobItem], Result], item: JobItem) -> Result:
    # Here and not when the process begins: only libraries that are already loaded can be limited.
    try:
        with threadpool_limits(1):
            return work(item)
    finally:
        return_freed_memory()


def _on_one_openmp_thread(work: Callable[[JobItem], Result], item: JobItem) -> Result:
    # OpenMP keeps a thread count for each calling thread, BLAS one for the whole process.
    try:
        with threadpool_limits(1, user_api="openmp"):
            return work(item)
    finally:
        return_freed_memory()


def return_freed_memory() -> None:
    """Give memory that is not used any more back to the system; the C library keeps most of what jobs have freed."""
    # Only glibc has the function, and only glibc keeps so much.
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def starting_processes() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach and that do not run the script of this one again."""
    silence_tracker()
    # The first process starts the tracker, which then lets Ctrl-C through again.
    resource_tracker.ensure_running()
    with interrupts_held(), _script_hidden():
        yield


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back until the end; processes that are started within never receive it: the parent ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # A child inherits the mask. The parent gets an interrupt that arrived meanwhile when the mask is restored.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _script_hidden() -> Iterator[None]:
    """Keep processes started within from running the caller's script again, as they would to find its functions.

    The script may then train at its top level without an `if __name__ == "__main__"`, and its imports cost nothing.
    """
    # One caller at a time: two threads would restore each other's hidden names.
    with _starting:
        script = vars(sys.modules["__main__"])
        before: dict[str, Any] = {name: script[name] for name in ("__spec__", "__file__") if name in script}
        script |= dict.fromkeys(before)
        try:
            yield
        finally:
            script.update(before)


def end_with_parent(lifeline: Connection) -> None:
    """End this process, from now on, as soon as the other end of `lifeline` closes."""
    Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """End this process when the other end of `lifeline` closes: results are not wanted any more, or the parent died."""
    lifeline.poll(None)
    # Not sys.exit: that would end this thread alone, while the main thread goes on with its job.
    os._exit(1)
