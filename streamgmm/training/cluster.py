"""An executor on an existing Dask cluster: the workers read recordings from a path that all machines share.

Dask runs the jobs of a worker that dies again on another one. A scheduler that is restarted has forgotten everything:
the client connects again, and submits whatever has no result yet.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import re
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any, TypeVar

from streamgmm.errors import StreamgmmError, SystemResourceError, UsageError
from streamgmm.training.cluster_jobs import Build, ClusterError, Failed, Finished, check_build, own_build, run_on_worker
from streamgmm.training.workers import interrupts_held, silence_tracker
from streamgmm.wording import escaped

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger("streamgmm.cluster")

JobItem = TypeVar("JobItem")
Result = TypeVar("Result")

CONNECT_TIMEOUT_S = 10.0
"""Longest wait for a scheduler and its first worker."""

RETURN_TIMEOUT_S = 60.0
"""Longest wait for a scheduler that was lost, or for a worker when all are gone."""

POLL_S = 5.0
"""Time between two looks at whether any worker is left, while a result is awaited."""

MAX_LOSSES = 5
"""Most times that jobs are submitted again without any result in between."""

_SILENT = logging.CRITICAL + 1
_ADDRESS = re.compile(r"(?:tcp|tls)://(?:\[[^\]\s]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})", re.ASCII)
MAX_PORT = 65535


class _LostError(Exception):
    """The scheduler, or data that it kept for us, is gone."""


class _WorkersDiedError(Exception):
    """The workers that ran a job died; its text is the address of the last."""


class ClusterExecutor:
    """Run jobs on the workers of a Dask scheduler; a context manager.

    Args:
        address: of the scheduler, such as `tcp://10.0.0.5:8786`.
        n_jobs_per_thread: most jobs in flight for each thread of a worker.

    Raises:
        UsageError: `distributed` is not installed, or `address` is not an address.
        ClusterError: no scheduler answers, it has no workers, or one has another version of streamgmm.
    """

    def __init__(self, address: str, *, n_jobs_per_thread: int = 4) -> None:
        check_distributed()
        check_address(address)
        self._address = address
        self._n_jobs_per_thread = n_jobs_per_thread
        self._build = own_build()
        try:
            self._client = self._connect()
        except _LostError as error:
            raise self._error("was lost while its workers were asked", "start this command again") from error

    def __enter__(self) -> ClusterExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def map(self, work: Callable[[JobItem], Result], items: Sequence[JobItem]) -> Iterator[Result]:
        """Yield results in order; see `Executor.map`."""
        for result in self.attempt(work, items):
            if isinstance(result, StreamgmmError):
                raise result
            yield result

    def attempt(
        self, work: Callable[[JobItem], Result], items: Sequence[JobItem]
    ) -> Generator[Result | StreamgmmError, None, None]:
        """Yield the result of each item or the error that its job ended with, in order; see `Executor.map`.

        Raises:
            ClusterError: the scheduler or all workers were lost and did not return, or a worker has other code.
        """
        todo = deque(items)
        submitted: deque[tuple[JobItem, Future[Any]]] = deque()
        shared: Future[Any] | None = None
        n_losses = 0
        try:
            while todo or submitted:
                try:
                    shared = shared or self._share(work)
                    self._top_up(submitted, todo, shared)
                    outcome = self._outcome_of(submitted, shared)
                except _LostError as error:
                    n_losses += 1
                    if n_losses > MAX_LOSSES:
                        raise self._error("keeps losing its jobs", "see the logs of its workers") from error
                    todo.extendleft(item for item, _ in reversed(submitted))
                    submitted.clear()
                    shared = None
                    self._reconnect()
                    continue
                submitted.popleft()
                n_losses = 0
                yield outcome
        finally:
            if submitted and self._client.status == "running":
                with suppress(_LostError), _losses_reported():
                    self._client.cancel([future for _, future in submitted], force=True)

    def _share(self, work: Callable[[Any], Any]) -> Future[Any]:
        """Send `work` once: it may hold a model, which each job would carry otherwise."""
        # As the result of a task, which Dask computes again if the only worker that has it dies; it would not scatter
        # data again.
        with _losses_reported():
            return self._client.submit(pickle.loads, pickle.dumps(work), pure=False)

    def _top_up(self, submitted: deque[tuple[JobItem, Future[Any]]], todo: deque[JobItem], shared: Future[Any]) -> None:
        """Submit jobs until enough are in flight; bounded, so that results never fill the memory of the workers."""
        with _losses_reported():
            # Asked each time, because workers come and go.
            n_threads = sum(self._client.nthreads().values())
            while todo and len(submitted) < max(1, n_threads * self._n_jobs_per_thread):
                future = self._submit(shared, todo[0])
                submitted.append((todo.popleft(), future))

    def _submit(self, shared: Future[Any], item: Any) -> Future[Any]:
        return self._client.submit(run_on_worker, shared, pickle.dumps(item), self._build, pure=False)

    def _outcome_of(self, submitted: Sequence[tuple[Any, Future[Any]]], shared: Future[Any]) -> Any:
        """Wait for the first of the `submitted` jobs; return its result, or the error to report for its item alone."""
        (item, future), *others = submitted
        try:
            with suppress(_WorkersDiedError):
                return self._outcome(future)
            # Dask blames all jobs that were on the workers: alone, only the one that kills them loses them again.
            for _, other in others:
                with suppress(_WorkersDiedError):
                    self._awaited(other)
            with _losses_reported():
                again = self._submit(shared, item)
            return self._outcome(again)
        except _WorkersDiedError as error:
            what = f"workers of the cluster died while it was processed ({error} was the last)"
            return SystemResourceError(what, hint="is their memory full?")

    def _outcome(self, future: Future[Any]) -> Any:
        """Wait for one job; return its result, or the error that is to be reported for its item alone."""
        outcome: Finished[Any] | Failed = self._awaited(future)
        if isinstance(outcome, Finished):
            return outcome.value
        if isinstance(outcome.error, ClusterError) or not isinstance(outcome.error, StreamgmmError):
            raise outcome.error
        return outcome.error

    def _awaited(self, future: Future[Any]) -> Any:
        """Return the result of `future`, unless all workers are gone for longer than `RETURN_TIMEOUT_S`."""
        from distributed.scheduler import KilledWorker

        gone_since: float | None = None
        while True:
            with _losses_reported():
                try:
                    return future.result(timeout=POLL_S)
                except TimeoutError:
                    has_workers = bool(self._client.nthreads())
                except KilledWorker as error:
                    raise _WorkersDiedError(error.last_worker.address) from error
                # The job returns its own exceptions: this one was met by Dask, as it unpacked the job.
                except Exception as error:
                    if _is_loss(error):
                        raise
                    raise _cannot_run(self._address, error) from error
            if has_workers:
                gone_since = None
                continue
            if gone_since is None:
                gone_since = time.monotonic()
                logger.warning("%s has no workers left; waiting for one", self._address)
            elif time.monotonic() - gone_since > RETURN_TIMEOUT_S:
                hint = f"start `dask worker {self._address}`, then this command again"
                raise self._error(f"has no workers left since {RETURN_TIMEOUT_S:.0f} s", hint)

    def _connect(self) -> Client:
        client = self._open_client()
        try:
            self._check_workers(client)
        except BaseException:
            client.close()
            raise
        return client

    def _open_client(self) -> Client:
        from distributed import Client

        try:
            asyncio.run(_greet(self._address))
        # What another program sends may be anything, and so may be the error that comes of it.
        except Exception as error:
            raise self._unanswered() from error
        try:
            return Client(self._address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise self._unanswered() from error

    def _unanswered(self) -> ClusterError:
        port = self._address.rpartition(":")[2]
        hint = f"start `dask scheduler --port {port}` there, and `dask worker {self._address}` where the files are"
        return self._error(f"no scheduler answers within {CONNECT_TIMEOUT_S:.0f} s", hint)

    def _check_workers(self, client: Client) -> None:
        """Compare the build of each worker with ours."""
        try:
            client.wait_for_workers(1, timeout=CONNECT_TIMEOUT_S)
        except TimeoutError as error:
            hint = f"start `dask worker {self._address}` where the files are"
            raise self._error("the scheduler has no workers", hint) from error
        # Not as a task: a worker that cannot unpickle a task ends, and a busy one would answer late.
        with _losses_reported():
            builds = client.run(own_build, on_error="return")
        for worker, build in builds.items():
            if isinstance(build, Build):
                check_build(build, self._build, worker)
            elif not isinstance(build, OSError):  # it is gone
                raise _cannot_run(f"worker {worker}", build)

    def _reconnect(self) -> None:
        """Connect to a scheduler that was lost, and has perhaps been restarted."""
        logger.warning("lost the scheduler at %s; connecting again", self._address)
        self._close()
        deadline = time.monotonic() + RETURN_TIMEOUT_S
        while True:
            try:
                self._client = self._connect()
            except (ClusterError, _LostError) as error:
                if isinstance(error, ClusterError) and error.where != self._address:
                    raise  # of a worker, which will not change
                if time.monotonic() > deadline:
                    hint = "start it and its workers, then this command again"
                    raise self._error(f"was lost, and did not return within {RETURN_TIMEOUT_S:.0f} s", hint) from error
            else:
                return

    def _close(self) -> None:
        with suppress(OSError, TimeoutError), interrupts_held():
            self._client.close(timeout=CONNECT_TIMEOUT_S)

    def _error(self, what: str, hint: str) -> ClusterError:
        return ClusterError(what, where=self._address, hint=hint)


async def _greet(address: str) -> None:
    """Exchange the first messages with a scheduler, which a `Client` would await without end from another program.

    Raises:
        TimeoutError: no scheduler answers.
        OSError: nobody listens.
    """
    from distributed import Security
    from distributed.comm import connect

    options = Security().get_connection_args("client")
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        comm = await connect(address, timeout=CONNECT_TIMEOUT_S, **options)
    comm.abort()


def _cannot_run(where: str, error: Exception) -> ClusterError:
    # Dask's own explanations have several lines.
    what = f"cannot run jobs of streamgmm: {' '.join(str(error).split())}"
    return ClusterError(what, where=where, hint="install streamgmm on the scheduler and all workers")


def check_address(address: str) -> None:
    """Raise UsageError unless `address` is one that a scheduler may have."""
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match["port"]) <= MAX_PORT:
        raise UsageError(
            f"'{escaped(address)}' is not the address of a scheduler",
            hint=f"write it as tcp://HOST:PORT, with a port of 1 to {MAX_PORT}",
        )


def check_distributed() -> None:
    """Raise if the library of clusters is missing, and keep it from logging.

    Raises:
        UsageError: names what to install.
    """
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise UsageError("a cluster needs Dask", hint='pip install "streamgmm[cluster]"') from error
    # It reports each lost connection with a traceback, and each step of its own start.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(_SILENT)


@contextmanager
def local_cluster(n_workers: int) -> Iterator[str]:
    """Start a cluster of `n_workers` processes on this machine, and yield the address of its scheduler."""
    check_distributed()
    from distributed import LocalCluster

    # Here, because starting it allows interrupts again.
    silence_tracker()
    resource_tracker.ensure_running()
    # Ctrl-C reaches this process alone, which ends the workers.
    with interrupts_held():
        cluster = LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=_SILENT,
        )
    try:
        yield cluster.scheduler_address
    finally:
        # An interrupt meanwhile waits: workers that lose their cluster half closed report it with tracebacks.
        with interrupts_held():
            cluster.close()


@contextmanager
def _losses_reported() -> Iterator[None]:
    """Turn the ways in which a client reports a lost scheduler into one."""
    try:
        yield
    except Exception as error:
        if _is_loss(error):
            raise _LostError from error
        raise


def _is_loss(error: Exception) -> bool:
    from distributed.client import ClosedClientError, FutureCancelledError

    return isinstance(error, OSError | FutureCancelledError | ClosedClientError)
