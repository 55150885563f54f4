"""Training and evaluation on a real scheduler and workers."""

from __future__ import annotations

import os
import re
from collections.abc import Generator

import pytest

from streamgmm.errors import DataError, SystemResourceError, UsageError
from streamgmm.training.cluster import ClusterExecutor
from tests.cli.cli_rig import run_cli
from tests.cluster_rig import require_cluster, running_cluster
from tests.training.training_rig import write_sounds

QUICK = ("--quick", "--name", "a", "--no-memory", "--set", "training.world=false")


def square(number: int) -> int:
    if number == 13:
        raise ValueError("thirteen")
    if number == 14:
        raise DataError("fourteen", where="14")
    return number * number


def die(number: int) -> int:
    if number == 1:
        os._exit(1)
    return number


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with running_cluster(tmp_path_factory.mktemp("cluster"), 0) as cluster:
        cluster.start_workers(2, n_threads=2)
        yield cluster


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_sounds(tmp_path_factory.mktemp("sounds"))


def test_results_come_in_order(cluster):
    with ClusterExecutor(cluster.address, n_jobs_per_thread=1) as executor:
        assert list(executor.map(square, range(100, 140))) == [n * n for n in range(100, 140)]
        assert list(executor.map(square, [])) == []


def test_an_error_of_a_job_reaches_the_caller(cluster):
    with ClusterExecutor(cluster.address) as executor:
        with pytest.raises(ValueError, match="thirteen") as caught:
            list(executor.map(square, [1, 13, 2]))
        assert "in square" in caught.value.__notes__[0]
        with pytest.raises(DataError, match="fourteen"):
            list(executor.map(square, [1, 14, 2]))
        assert [str(result) for result in executor.attempt(square, [1, 14, 2])] == ["1", "14: fourteen", "4"]


def test_a_closed_iterator_cancels_what_is_left(cluster):
    with ClusterExecutor(cluster.address) as executor:
        results = executor.map(square, range(1000))
        assert next(results) == 0
        assert isinstance(results, Generator)
        results.close()
        assert list(executor.map(square, [3])) == [9]


@pytest.mark.parametrize("address", ["", "nowhere", "10.0.0.1:8786", "tcp://host", "http://host:1", "tcp://a b:1"])
def test_what_is_no_address_is_refused(address):
    require_cluster()
    with pytest.raises(UsageError, match=r"write it as tcp://HOST:PORT"):
        ClusterExecutor(address)


def test_the_missing_library_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r'a cluster needs Dask \(pip install "streamgmm\[cluster\]"\)'):
        ClusterExecutor("tcp://127.0.0.1:1")


def test_a_model_that_is_trained_on_a_cluster_has_the_same_bytes(capsys, monkeypatch, cluster, data, tmp_path):
    monkeypatch.chdir(data)  # which is not where the workers are
    for name, options in (("local.sgm", ()), ("cluster.sgm", ("--cluster", cluster.address))):
        code, _, err = run_cli(capsys, "train", ".", "-o", tmp_path / name, *QUICK, *options)
        assert code == 0, err
    assert (tmp_path / "local.sgm").read_bytes() == (tmp_path / "cluster.sgm").read_bytes()


def test_an_evaluation_on_a_cluster_gives_the_same_scores(capsys, cluster, data, tmp_path):
    options = ("--quick", "--set", "training.world=false", "--set", "training.n_context_copies=0")
    for name, where in (("local.json", ()), ("cluster.json", ("--cluster", cluster.address))):
        code, _, err = run_cli(capsys, "evaluate", data, "--json", tmp_path / name, *options, *where)
        assert code == 0, err
    assert (tmp_path / "local.json").read_bytes() == (tmp_path / "cluster.json").read_bytes()


def test_G6_recordings_that_a_worker_does_not_see_end_a_training(capsys, data, tmp_path):
    from tests.required import mount_namespace

    with running_cluster(tmp_path, 0) as cluster:
        cluster.start_workers(1, prefix=mount_namespace(f"mount -t tmpfs none {data}"))
        command = ("train", data, "-o", tmp_path / "a.sgm", *QUICK, "--cluster", cluster.address)
        code, _, err = run_cli(capsys, *command)
    assert code == 66
    assert re.search(rf"error: {data}/.*: no such file on worker tcp://127.0.0.1:\d+ \(is the folder", err)
    assert not (tmp_path / "a.sgm").exists()


def test_G4_a_job_that_kills_its_workers_is_given_up(monkeypatch, tmp_path):
    """The jobs that happen to be on the same workers are not."""
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")  # three by default
    with running_cluster(tmp_path, 3) as cluster, ClusterExecutor(cluster.address) as executor:
        results = list(executor.attempt(die, range(12)))
    (died,) = (result for result in results if not isinstance(result, int))
    assert results == [0, died, *range(2, 12)]
    assert isinstance(died, SystemResourceError)
    assert "workers of the cluster died while it was processed" in str(died)
