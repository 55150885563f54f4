"""The option `--cluster` of commands that measure recordings."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from streamgmm.training.workers import jobs_on


@contextmanager
def jobs_on_cluster(args: argparse.Namespace) -> Iterator[None]:
    """Run the jobs within on the workers of `args.cluster`, or on this machine if it is not given.

    The paths in `args.data` and `args.backgrounds` become absolute: workers have folders of their own to start from.

    Raises:
        StreamgmmError: the cluster cannot be used; see `ClusterExecutor`.
    """
    if args.cluster is None:
        yield
        return
    args.data = args.data.absolute()
    args.backgrounds = [place.absolute() for place in args.backgrounds]
    from streamgmm.training.cluster import ClusterExecutor

    with ClusterExecutor(args.cluster) as executor, jobs_on(executor):
        yield
