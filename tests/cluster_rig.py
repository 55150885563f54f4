"""A real Dask scheduler and workers as processes of this machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from streamgmm.errors import UsageError
from streamgmm.training.cluster import check_distributed
from tests.ports import free_port
from tests.required import require_or_skip

START_TIMEOUT_S = 120


def require_cluster() -> None:
    """Skip the test where the libraries of the extra `cluster` are missing, or fail it where they are required."""
    try:
        check_distributed()
        import pyarrow  # noqa: F401
    except (ImportError, UsageError):
        require_or_skip("cluster", "Dask or pyarrow is not installed: pip install 'streamgmm[cluster]'")


class Cluster:
    """A scheduler on a fixed port, which can be restarted, and its workers.

    Args:
        folder: for the files and logs of the workers.
        host: address to bind to.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self.folder, self.host, self.port = folder, host, free_port()
        self.address = f"tcp://{host}:{self.port}"
        self.workers: list[subprocess.Popen[bytes]] = []
        self._n_started = 0
        self.start_scheduler()

    def start_scheduler(self) -> None:
        options = ("--host", self.host, "--port", str(self.port), "--dashboard-address", f"{self.host}:0")
        self.scheduler = self._start("dask_scheduler", options)

    def start_workers(
        self,
        n_workers: int,
        *,
        prefix: Sequence[str] = (),
        preparation: str = "",
        variables: dict[str, str] | None = None,
        n_threads: int = 1,
        host: str = "",
    ) -> None:
        """Start workers, each in a process without a nanny, and wait until the scheduler has them."""
        for _ in range(n_workers):
            options: tuple[str, ...] = (
                "--host",
                host or self.host,
                "--nthreads",
                str(n_threads),
                "--no-nanny",
                "--no-dashboard",
            )
            options += ("--local-directory", str(self.folder / "spill"), self.address)
            process = self._start("dask_worker", options, prefix=prefix, preparation=preparation, variables=variables)
            self.workers.append(process)
        self.wait_for_workers(len(self.workers))

    def wait_for_workers(self, n_workers: int) -> None:
        from distributed import Client

        with Client(self.address, timeout=START_TIMEOUT_S, set_as_default=False) as client:
            if n_workers:
                client.wait_for_workers(n_workers, timeout=START_TIMEOUT_S)

    def kill_worker(self) -> None:
        worker = self.workers.pop()
        worker.kill()
        worker.wait()

    def restart_scheduler(self, n_workers: int) -> None:
        """Kill the scheduler, which ends its workers, and start all again on the same port."""
        self.scheduler.kill()
        self.scheduler.wait()
        self.end_workers()
        self.start_scheduler()
        self.start_workers(n_workers)

    def end_workers(self) -> None:
        while self.workers:
            self.kill_worker()

    def close(self) -> None:
        self.end_workers()
        self.scheduler.kill()
        self.scheduler.wait()

    def _start(
        self,
        module: str,
        options: Sequence[str],
        *,
        prefix: Sequence[str] = (),
        preparation: str = "",
        variables: dict[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        self._n_started += 1
        program = f"import sys\n{preparation}\nfrom distributed.cli.{module} import main\nmain(sys.argv[1:])"
        with (self.folder / f"{module}{self._n_started}.log").open("wb") as log:
            command = [*prefix, sys.executable, "-c", program, *options]
            environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])} | (variables or {})
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


@contextlib.contextmanager
def running_cluster(folder: Path, n_workers: int = 2) -> Iterator[Cluster]:
    """Start a scheduler and workers, and end them afterwards."""
    require_cluster()
    cluster = Cluster(folder)
    try:
        if n_workers:
            cluster.start_workers(n_workers)
        yield cluster
    finally:
        cluster.close()
