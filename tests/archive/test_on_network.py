"""An archive that is labelled by workers with addresses of their own, as on other machines."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

import pytest

from streamgmm.demo.recordings import write_wav
from streamgmm.demo.scene import make_scene
from tests.archive.test_on_cluster import finished, printed_rows, rows_of
from tests.cli.cli_rig import run_cli
from tests.cluster_rig import Cluster, require_cluster
from tests.conftest import DEMO_RATE_HZ
from tests.required import require_or_skip

HOST = "10.203.77.1"
WORKERS = ("10.203.77.2", "10.203.77.3")


def ip(*arguments: str) -> None:
    try:
        subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        require_or_skip("netns", "there is no ip(8)")
    except subprocess.CalledProcessError as error:
        require_or_skip("netns", f"network namespaces cannot be made: {error.stderr.strip()}")


@contextlib.contextmanager
def network() -> Iterator[list[str]]:
    """A bridge with a network namespace for each worker, and their names."""
    tag = f"sg{os.getpid() % 100000}"
    names = [f"{tag}n{i}" for i in range(len(WORKERS))]
    with contextlib.ExitStack() as undo:
        ip("link", "add", f"{tag}b", "type", "bridge")
        undo.callback(ip, "link", "del", f"{tag}b")
        ip("addr", "add", f"{HOST}/24", "dev", f"{tag}b")
        ip("link", "set", f"{tag}b", "up")
        for name, address in zip(names, WORKERS, strict=True):
            ip("netns", "add", name)
            undo.callback(ip, "netns", "del", name)  # and its interfaces
            ip("link", "add", f"{name}v", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"{name}v", "master", f"{tag}b", "up")
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names


@pytest.fixture
def cluster(tmp_path):
    require_cluster()
    (tmp_path / "cluster").mkdir()
    with network() as names, contextlib.closing(Cluster(tmp_path / "cluster", HOST)) as cluster:
        for name, address in zip(names, WORKERS, strict=True):
            cluster.start_workers(1, prefix=("ip", "netns", "exec", name), host=address)
        yield cluster


def test_workers_on_a_network_find_the_same_events(capsys, demo_model, cluster, tmp_path):
    folder, output = tmp_path / "recordings", tmp_path / "out"
    folder.mkdir()
    for i in range(4):
        write_wav(folder / f"{i}.wav", make_scene(60.0, i, DEMO_RATE_HZ).samples, DEMO_RATE_HZ)
    code, _, err = run_cli(capsys, "classify", "-m", demo_model, "-o", output, "--cluster", cluster.address, folder)
    assert code == 0, err
    assert len(finished(output)) == 4
    assert rows_of(output) == printed_rows(capsys, demo_model, folder)
