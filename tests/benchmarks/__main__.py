"""Prints what the pipeline, `classify` and a live `run` cost on this machine, and how well anomalies are noticed.

The last needs STREAMGMM_DATA, a folder of corpora, and is left out without it.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import tempfile
from pathlib import Path

from rich.console import Console

from streamgmm.bench.suite import BRIEF, BenchPlan, run_bench
from streamgmm.cli.bench_tables import print_bench
from tests.benchmarks import anomaly, cluster, latency, live, offline, sources, stacks, viewers
from tests.benchmarks.material import make_material


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("--brief", action="store_true", help="short runs: enough to see that nothing rots")
    args = parser.parse_args()
    console = Console(width=100)
    print_bench(run_bench(BRIEF if args.brief else BenchPlan()), console)
    with tempfile.TemporaryDirectory() as folder:
        material = make_material(Path(folder))
        console.print(offline.classify_table(material, n_rounds=1 if args.brief else 5))
        console.print(live.run_table(material, duration_s=6.0 if args.brief else 40.0))
        if live.can_compare():
            duration_s, n_rounds = (4.0, 1) if args.brief else (20.0, 5)
            console.print(live.peer_table(material, duration_s, n_rounds))
        console.print(latency.latency_table(material, duration_s=4.0 if args.brief else latency.DURATION_S))
        console.print(sources.sources_table(material, duration_s=4.0 if args.brief else sources.DURATION_S))
        console.print(stacks.stacks_table(material, n_rounds=1 if args.brief else 15))
        if cluster.can_measure():
            n_hours, n_rounds = (0.1, 1) if args.brief else (2.0, 5)
            console.print(cluster.cluster_table(material, Path(folder), n_hours, n_rounds))
        console.print(viewers.viewers_table(material, duration_s=4.0 if args.brief else 30.0))
    if os.environ.get("STREAMGMM_DATA"):
        console.print(anomaly.anomaly_table(anomaly.BRIEF if args.brief else anomaly.FULL))


if __name__ == "__main__":
    main()
