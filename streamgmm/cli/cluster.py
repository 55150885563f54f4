"""The option `--cluster` of commands that measure recordings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from streamgmm.training.workers import jobs_on


@contextmanager
def jobs_on_cluster(address: str | None) -> Iterator[None]:
    """Run the jobs within on the workers of the scheduler at `address`; None: on this machine.

    Raises:
        StreamgmmError: the cluster cannot be used; see `ClusterExecutor`.
    """
    if address is None:
        yield
        return
    from streamgmm.training.cluster import ClusterExecutor

    with ClusterExecutor(address) as executor, jobs_on(executor):
        yield
