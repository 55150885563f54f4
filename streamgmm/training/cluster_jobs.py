"""Jobs as the workers of a Dask cluster run them: checked first, and with every failure as a value."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from threadpoolctl import threadpool_limits

from streamgmm import __version__
from streamgmm.dataset.clips import Clip
from streamgmm.errors import InputMissingError, StreamgmmError
from streamgmm.features.kernel.loader import NUMPY, kernel_name
from streamgmm.features.kernel.version import source_version

Result = TypeVar("Result")


class Build(NamedTuple):
    """The code on one machine: two that differ may measure different features.

    Attributes:
        version: of streamgmm.
        kernel: version of the sources of the feature kernel; `numpy` where it is not used.
    """

    version: str
    kernel: str


class ClusterError(StreamgmmError):
    """A cluster cannot be used: no scheduler, no workers, or workers with other code (EX_UNAVAILABLE)."""

    exit_code = 69


class Finished(NamedTuple, Generic[Result]):
    """A job that returned.

    Attributes:
        value: its result.
    """

    value: Result


class Failed(NamedTuple):
    """A job that raised.

    Attributes:
        error: the exception, with the traceback of the worker as a note if it is a bug.
    """

    error: Exception


def own_build() -> Build:
    """Return the build of this process."""
    return Build(__version__, NUMPY if kernel_name() == NUMPY else source_version())


def check_build(build: Build, wanted: Build, worker: str) -> None:
    """Reject a worker whose features may differ from ours.

    Raises:
        ClusterError: names the worker and both versions.
    """
    if build == wanted:
        return
    what = f"has streamgmm {build.version} with kernel {build.kernel}, here it is {wanted.version} with {wanted.kernel}"
    raise ClusterError(what, where=f"worker {worker}", hint="install the same version on both")


def run_on_worker(work: Callable[[Any], Result], packed: bytes, wanted: Build) -> Finished[Result] | Failed:
    """Run one job on this worker.

    Exceptions are returned: what is raised from here on concerns the cluster, and Dask would log each one.

    Args:
        work: the function.
        packed: its argument, pickled: Dask would search lists and tuples for its own objects.
        wanted: build of the client.
    """
    from distributed import get_worker

    try:
        worker = get_worker().address
        # In each job, because workers may join later.
        check_build(own_build(), wanted, worker)
        item = pickle.loads(packed)
        _check_files(item, worker)
        # For good: BLAS has one thread count for the whole process, and another job may run beside this one.
        threadpool_limits(1)
        return Finished(work(item))
    except StreamgmmError as error:
        return Failed(error)
    except Exception as error:
        error.add_note(traceback.format_exc())
        return Failed(error)


def _check_files(item: object, worker: str) -> None:
    """Raise if this worker lacks a recording of the job: a training would silently leave it out.

    Raises:
        InputMissingError: names the file and the worker.
    """
    for path in _recordings_of(item):
        try:
            path.stat()
        except FileNotFoundError as error:
            hint = "is the folder mounted there, under the same path?"
            raise InputMissingError(f"no such file on worker {worker}", where=str(path), hint=hint) from error
        except (OSError, ValueError):
            continue  # reading it will fail with a message of its own


def _recordings_of(item: object) -> list[Path]:
    match item:
        case Path():
            return [item]
        case [*parts]:
            return [part.path for part in parts if isinstance(part, Clip)]
        case _:
            return []
