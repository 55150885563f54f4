"""Prints what each part of the trainer is worth: `python -m tests.benchmarks.ablation [DATA ...]`.

The recordings are those below the folder that STREAMGMM_DATA names; each is measured once. Then each part is left out
in turn, and clips are held out by source five times, as `evaluate --report` does.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pathlib import Path

from rich.console import Console
from rich.table import Table

from streamgmm.dataset.dataset import read_dataset
from streamgmm.evaluation.ablation import Ablation, ablate
from streamgmm.settings.config import Config
from streamgmm.training.extraction.extraction import extract_clips
from streamgmm.training.trainer import make_task

DEFAULT_DATA = ("esc10", "fsdd")
N_BRIEF_PARTS = 2


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ablation", description=__doc__.split("\n")[0])
    parser.add_argument("data", nargs="*", default=DEFAULT_DATA, help="data sets (default: esc10 fsdd)")
    parser.add_argument("--brief", action="store_true", help="the whole and one part: enough to see that nothing rots")
    args = parser.parse_args()
    for name in args.data:
        dataset = read_dataset(Path(os.environ["STREAMGMM_DATA"]) / name)
        task = make_task(dataset, Config())
        clips = extract_clips(dataset.clips, task).clips
        parts = ablate(clips, dataset.labels, task, max_parts=N_BRIEF_PARTS if args.brief else None)
        Console(width=100).print(table_of(name, parts))


def table_of(name: str, parts: list[Ablation]) -> Table:
    table = Table("left out", title=f"{name}: held-out clips right, by source, without a part")
    table.add_column("right", justify="right")
    table.add_column("lost, points", justify="right")
    whole = parts[0].accuracy
    for part in parts:
        lost = f"{100 * (whole - part.accuracy):+.1f}" if part.name else ""
        table.add_row(part.name or "nothing", f"{part.accuracy:.1%} ({part.standard_error:.1%})", lost)
    return table


if __name__ == "__main__":
    main()
