"""Work on all cores, in an order and with results that do not depend on their number."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")


class Track(Protocol):
    """Passes `items` on and may show how far they are."""

    def __call__(self, items: Iterable[Item], description: str, total: int) -> Iterable[Item]:
        """Yield the items; `total` is how many there will be."""


def untracked(items: Iterable[Item], description: str, total: int) -> Iterable[Item]:
    """Show nothing."""
    return items


def map_in_order(work: Callable[[Item], Result], items: Sequence[Item], n_jobs: int) -> Iterator[Result]:
    """Results of `work` on each item, in the order of the items.

    Args:
        work: a function at the top level of a module, or a partial of one.
        items: what to work on.
        n_jobs: processes; 0 for one per core, 1 to stay in this process.
    """
    n_processes = min(n_jobs or os.cpu_count() or 1, len(items))
    if n_processes <= 1:
        with threadpool_limits(1):
            yield from map(work, items)
        return
    # Spawned, not forked: a fork would copy the locks of threads that do not exist in the child.
    pool = ProcessPoolExecutor(n_processes, mp_context=get_context("spawn"), initializer=_one_thread)
    try:
        yield from pool.map(work, items, chunksize=max(1, min(16, len(items) // (4 * n_processes))))
    finally:
        pool.shutdown(cancel_futures=True)


def map_in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Results of `work` on each item in order, on as many threads as cores: for numpy's large products.

    Each runs on one BLAS thread, so that results do not depend on the number of cores.
    """
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from pool.map(work, items)


_limits: list[Any] = []


def _one_thread() -> None:
    """One thread per process: the processes use the cores already, and sums keep their order."""
    _limits.append(threadpool_limits(1))
