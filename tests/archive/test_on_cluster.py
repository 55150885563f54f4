"""An archive that is labelled by a real scheduler and workers, which die, restart, or lack what they need."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from streamgmm.demo.recordings import write_wav
from streamgmm.demo.scene import make_scene
from tests.cli.cli_rig import run_cli, spawn_cli
from tests.cluster_rig import Cluster, require_cluster, running_cluster
from tests.conftest import DEMO_RATE_HZ
from tests.ports import free_port
from tests.system.run_rig import wait_until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills processes as POSIX does")

N_RECORDINGS = 12
SCENE_S = 60.0
END_TIMEOUT_S = 240


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    for i in range(N_RECORDINGS):
        (folder / f"day{i % 2}").mkdir(exist_ok=True)
        path = folder / f"day{i % 2}" / f"yard_2026013{i % 2}_{i:02}0000.wav"
        write_wav(path, make_scene(SCENE_S, i, DEMO_RATE_HZ).samples, DEMO_RATE_HZ)
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def own_cluster(tmp_path):
    (tmp_path / "cluster").mkdir()
    with running_cluster(tmp_path / "cluster", 0) as cluster:
        yield cluster


@pytest.fixture
def few(recordings, tmp_path):
    """Two of the recordings, which may be changed."""
    folder = tmp_path / "few"
    shutil.copytree(recordings / "day0", folder)
    for path in sorted(folder.iterdir())[2:]:
        path.unlink()
    return folder


def rows_of(output: Path) -> list[tuple[object, ...]]:
    import pyarrow.parquet

    columns = ["path", "onset_s", "offset_s", "label", "score"]
    return sorted(tuple(row[key] for key in columns) for row in pyarrow.parquet.read_table(output).to_pylist())


def printed_rows(capsys, model: Path, folder: Path) -> list[tuple[object, ...]]:
    """The same of what `classify` prints."""
    rows: list[tuple[object, ...]] = []
    for path in sorted(folder.rglob("*.wav")):
        code, out, _ = run_cli(capsys, "classify", "--model", model, path)
        assert code == 0
        ends = [record for record in map(json.loads, out.splitlines()) if record["type"] == "end"]
        rows += [(str(path), end["start_t"], end["end_t"], end["label"], end["max_score"]) for end in ends]
    return sorted(rows)


def finished(output: Path) -> list[Path]:
    return sorted(output.rglob("*.parquet"))


def last_line(process: subprocess.Popen[str]) -> str:
    _, err = process.communicate(timeout=END_TIMEOUT_S)
    assert "Traceback" not in err
    assert process.returncode == 0, err
    return err.splitlines()[-1]


def test_G1_G2_a_killed_worker_and_a_restarted_scheduler_cost_no_row_and_double_none(
    capsys, demo_model, recordings, own_cluster, tmp_path
):
    output = tmp_path / "out"
    own_cluster.start_workers(2)
    process = spawn_cli("classify", "-m", demo_model, "-o", output, "--cluster", own_cluster.address, recordings)
    wait_until(lambda: len(finished(output)) >= 2, "no recording was labelled", END_TIMEOUT_S)
    own_cluster.kill_worker()
    wait_until(lambda: len(finished(output)) >= 4, "the other worker does not go on", END_TIMEOUT_S)
    assert process.poll() is None
    assert len(finished(output)) < N_RECORDINGS
    own_cluster.restart_scheduler(2)
    assert last_line(process) == f"12 recordings are in {output}, 0 of them from before"
    assert len(finished(output)) == N_RECORDINGS
    assert rows_of(output) == printed_rows(capsys, demo_model, recordings)
    assert len(rows_of(output)) > N_RECORDINGS


def test_G8_a_killed_command_goes_on_where_it_was(capsys, demo_model, recordings, cluster, tmp_path):
    output = tmp_path / "out"
    command = ("classify", "-m", demo_model, "-o", output, "--cluster", cluster.address, recordings)
    process = spawn_cli(*command)
    wait_until(lambda: len(finished(output)) >= 2, "no recording was labelled", END_TIMEOUT_S)
    process.kill()
    process.communicate()
    before = {path: path.stat().st_mtime_ns for path in finished(output)}
    assert len(before) < N_RECORDINGS
    code, out, err = run_cli(capsys, *command)
    assert (code, out) == (0, ""), err
    assert err.splitlines()[-1].endswith(f", {len(before)} of them from before")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert rows_of(output) == printed_rows(capsys, demo_model, recordings)


def test_a_bad_recording_is_listed_and_harms_no_other(capsys, demo_model, few, cluster, tmp_path):
    (few / "bad.wav").write_text("text")
    missing = few / "missing.wav"
    command = ("classify", "-m", demo_model, "-o", tmp_path / "out", "--cluster", cluster.address, few, missing)
    code, out, err = run_cli(capsys, *command)
    assert (code, out) == (66, "")
    assert "bad.wav" in err
    assert f"{missing}: no such file" in err
    assert "streamgmm: 2 of 4 files skipped" in err
    assert len(finished(tmp_path / "out")) == 2
    assert run_cli(capsys, *command, "--strict").code == 66


def test_G6_files_that_a_worker_does_not_see_are_named_with_the_worker(capsys, demo_model, few, own_cluster, tmp_path):
    # A worker in a mount namespace of its own, in which the folder is empty.
    from tests.required import mount_namespace

    own_cluster.start_workers(1, prefix=mount_namespace(f"mount -t tmpfs none {few}"))
    command = ("classify", "-m", demo_model, "-o", tmp_path / "out", "--cluster", own_cluster.address, few)
    code, _, err = run_cli(capsys, *command)
    assert code == 66
    assert re.search(r"\.wav: no such file on worker tcp://127.0.0.1:\d+ \(is the folder mounted there", err)
    assert "2 of 2 files skipped" in err


@pytest.mark.parametrize(
    ("preparation", "found"),
    [
        ("import streamgmm; streamgmm.__version__ = '0.0.9'", "has streamgmm 0.0.9 with kernel"),
        ("sys.modules['streamgmm'] = None", "cannot run jobs of streamgmm"),
    ],
    ids=["another version", "not installed"],
)
def test_G5_a_worker_with_other_code_is_refused_by_name(
    capsys, demo_model, few, own_cluster, tmp_path, preparation, found
):
    own_cluster.start_workers(1, preparation=preparation)
    command = ("classify", "-m", demo_model, "-o", tmp_path / "out", "--cluster", own_cluster.address, few)
    code, _, err = run_cli(capsys, *command)
    assert code == 69
    assert re.search(rf"error: worker tcp://127.0.0.1:\d+: {found}", err), err
    assert finished(tmp_path / "out") == []


def test_G7_an_unreachable_scheduler_is_named_with_what_to_start(capsys, monkeypatch, demo_model, few, tmp_path):
    require_cluster()
    monkeypatch.setattr("streamgmm.training.cluster.CONNECT_TIMEOUT_S", 1.0)
    address = f"tcp://127.0.0.1:{free_port()}"
    code, _, err = run_cli(capsys, "classify", "-m", demo_model, "-o", tmp_path / "out", "--cluster", address, few)
    assert code == 69
    assert f"error: {address}: no scheduler answers within 1 s (start `dask scheduler --port" in err


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 400 Bad Request\r\n\r\n" * 50, b"\xff" * 4096])
def test_G7_another_program_than_a_scheduler_is_named(capsys, monkeypatch, demo_model, few, tmp_path, answer):
    require_cluster()
    monkeypatch.setattr("streamgmm.training.cluster.CONNECT_TIMEOUT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        connections = []

        def serve():
            with contextlib.suppress(OSError):  # closed at the end of the test
                while True:
                    connections.append(server.accept()[0])
                    connections[-1].sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        command = ("classify", "-m", demo_model, "-o", tmp_path / "out", "--cluster", address, few)
        code, _, err = run_cli(capsys, *command)
    assert code == 69
    assert f"error: {address}: no scheduler answers within 1 s (start `dask scheduler --port" in err


def test_G7_a_scheduler_without_workers_is_named(capsys, monkeypatch, demo_model, few, own_cluster, tmp_path):
    own_cluster.wait_for_workers(0)
    monkeypatch.setattr("streamgmm.training.cluster.CONNECT_TIMEOUT_S", 2.0)
    command = ("classify", "-m", demo_model, "-o", tmp_path / "out", "--cluster", own_cluster.address, few)
    code, _, err = run_cli(capsys, *command)
    assert code == 69
    assert f"has no workers (start `dask worker {own_cluster.address}`" in err


def test_G3_a_scheduler_that_never_returns_ends_the_command_and_a_second_start_finishes(
    capsys, demo_model, recordings, own_cluster: Cluster, tmp_path
):
    from tests.cli.cli_rig import spawn_main

    output = tmp_path / "out"
    own_cluster.start_workers(1)
    command = ("classify", "-m", demo_model, "-o", output, "--cluster", own_cluster.address, recordings)
    hasty = "import streamgmm.training.cluster as c; c.RETURN_TIMEOUT_S = c.CONNECT_TIMEOUT_S = 3.0"
    process = spawn_main(hasty, *command)
    wait_until(lambda: len(finished(output)) >= 2, "no recording was labelled", END_TIMEOUT_S)
    own_cluster.scheduler.kill()
    own_cluster.scheduler.wait()
    _, err = process.communicate(timeout=END_TIMEOUT_S)
    assert process.returncode == 69
    assert f"error: {own_cluster.address}: was lost, and did not return within 3 s" in err
    assert "Traceback" not in err
    own_cluster.restart_scheduler(1)
    assert run_cli(capsys, *command).code == 0
    assert rows_of(output) == printed_rows(capsys, demo_model, recordings)
