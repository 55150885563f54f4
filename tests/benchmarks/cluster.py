"""Prints what a cluster of two workers is worth: `python -m tests.benchmarks.cluster [--hours N] [--rounds N]`.

Recordings of a minute are labelled by two independent processes with half of them each, which is the most that two
cores can do; by `classify -o` on its own processes; and by `classify -o --cluster` on a Dask scheduler and two workers
that run already, as those of a cluster do.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.benchmarks.material import SCENE_S, Material, make_material
from tests.cluster_rig import running_cluster

N_WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cluster", description=__doc__.split("\n")[0])
    parser.add_argument("--hours", type=float, default=2.0, metavar="N", help="of recordings (default: 2)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of all three by turns (default: 5)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        material = make_material(Path(folder))
        Console(width=110).print(cluster_table(material, Path(folder), args.hours, args.rounds))


def can_measure() -> bool:
    """Whether the libraries of the extra `cluster` are installed."""
    return find_spec("distributed") is not None and find_spec("pyarrow") is not None


def cluster_table(material: Material, folder: Path, n_hours: float, n_rounds: int) -> Table:
    """Wall times, and the part that is reached of the rate of two independent processes."""
    (folder / "minutes").mkdir()
    files = [folder / "minutes" / f"{i}.wav" for i in range(round(3600 * n_hours / SCENE_S))]
    for file in files:
        os.link(material.scene_path, file)
    with running_cluster(folder, N_WORKERS) as cluster:
        rounds = [_round(material, folder / str(i), files, cluster.address) for i in range(n_rounds)]
    table = Table("classify", title=f"{n_hours:g} hours in {len(files)} recordings, {n_rounds} rounds")
    for heading in ("wall s", "part of two processes"):
        table.add_column(heading, justify="right")
    for name in rounds[0]:
        part = median(one["two processes, half each"] / one[name] for one in rounds)
        table.add_row(name, f"{median(one[name] for one in rounds):.1f}", f"{part:.2f}")
    return table


def _round(material: Material, output: Path, files: Sequence[Path], address: str) -> dict[str, float]:
    command = [sys.executable, "-m", "streamgmm", "classify", "--model", str(material.model_path)]
    paths = [str(file) for file in files]
    halves = [[*command, "--jobs", "1", *paths[i::N_WORKERS]] for i in range(N_WORKERS)]
    output.mkdir()
    return {
        "two processes, half each": _wall_s(halves),
        "one process": _wall_s([[*command, "--jobs", "1", *paths]]),
        "classify -o --workers 2": _wall_s([[*command, "-o", str(output / "local"), "--workers", "2", *paths]]),
        "classify -o --cluster": _wall_s([[*command, "-o", str(output / "dask"), "--cluster", address, *paths]]),
    }


def _wall_s(commands: Sequence[Sequence[str]]) -> float:
    started_s = time.monotonic()
    programs = [subprocess.Popen(one, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for one in commands]
    codes = [program.wait() for program in programs]
    if any(codes):
        raise RuntimeError("classify failed")
    return time.monotonic() - started_s


if __name__ == "__main__":
    main()
