"""Prints what several sources in one run cost: CPU, memory, and the delay of one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.benchmarks.live import SETTLE_S, cpu_s, memory_mib
from tests.benchmarks.material import Material, make_material

N_SOURCES = (1, 4, 16, 64)
DURATION_S = 30.0


class Cost(NamedTuple):
    """CPU as a share of one core, PSS (MiB), and delays of the records of one source (s): median, 99th percentile."""

    cpu_share: float
    pss_mib: float
    median_s: float
    p99_s: float


def sources_table(material: Material, duration_s: float) -> Table:
    """Costs of 1 to 64 recordings at their own pace, and of one beside a recording that is read without pause."""
    table = Table("sources", title=f"Several sources of 16 kHz for {duration_s:.0f} s")
    for heading in ("% of a core", "times one", "PSS MiB", "MiB for a further one", "delay: median", "p99"):
        table.add_column(heading, justify="right")
    one = _measure(material, 1, duration_s, has_flood=False)
    for n_sources in N_SOURCES:
        cost = one if n_sources == 1 else _measure(material, n_sources, duration_s, has_flood=False)
        further_mib = "" if n_sources == 1 else f"{(cost.pss_mib - one.pss_mib) / (n_sources - 1):.2f}"
        table.add_row(str(n_sources), *_cells(cost, one, further_mib))
    table.add_row("1 beside a flood", *_cells(_measure(material, 1, duration_s, has_flood=True), one, ""))
    return table


def _cells(cost: Cost, one: Cost, further_mib: str) -> list[str]:
    shares = [f"{100 * cost.cpu_share:.2f}", f"{cost.cpu_share / one.cpu_share:.1f}"]
    return [*shares, f"{cost.pss_mib:.1f}", further_mib, f"{1e3 * cost.median_s:.0f} ms", f"{1e3 * cost.p99_s:.0f} ms"]


def _measure(material: Material, n_sources: int, duration_s: float, *, has_flood: bool) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for i in range(n_sources):
            # One place is one source: each is a link of its own.
            (Path(folder) / f"{i}.wav").symlink_to(material.scene_path)
            lines.append(f"  s{i}: {{uri: 'file:{folder}/{i}.wav', pace: 1}}")
        if has_flood:
            lines += [f"  flood{i}: 'file:{_flood(material, Path(folder), i)}'" for i in range(2)]
        settings = Path(folder) / "c.yaml"
        settings.write_text("\n".join(["output: {windows: true, queue_records: 100000}", "sources:", *lines]))
        return _watch(["--model", str(material.model_path), "--config", str(settings)], duration_s)


def _flood(material: Material, folder: Path, i: int) -> Path:
    """Twenty minutes of sound: more than can be analysed meanwhile."""
    path = folder / f"flood{i}.raw.wav"
    head = bytearray(material.scene_path.read_bytes())
    path.write_bytes(head)
    with path.open("ab") as file:
        for _ in range(20):
            file.write(bytes(head[44:]))
    return path


def _watch(arguments: list[str], duration_s: float) -> Cost:
    command = [sys.executable, "-m", "streamgmm", "run", *arguments]
    delays_s: list[float] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(os.environ)) as daemon:
        output = daemon.stdout or ()
        first_s = before_s = end_s = None
        for line in output:
            record, now_s = json.loads(line), time.monotonic()
            if record["type"] != "window" or record["source"] != "s0":
                continue
            first_s = first_s or now_s
            if before_s is None and now_s - first_s >= SETTLE_S:
                before_s, end_s = cpu_s(daemon.pid), now_s + duration_s
            if end_s is not None:
                sent = datetime.now(UTC) - datetime.fromisoformat(record["time"])
                delays_s.append(sent.total_seconds())
                if now_s >= end_s:
                    break
        if before_s is None or not delays_s:
            raise RuntimeError("the daemon ended before it was measured")
        share = (cpu_s(daemon.pid) - before_s) / duration_s
        pss_mib = memory_mib(daemon.pid)[1]
        daemon.kill()
    return Cost(share, pss_mib, float(np.median(delays_s)), float(np.percentile(delays_s, 99)))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Console(width=100).print(sources_table(make_material(Path(folder)), DURATION_S))


if __name__ == "__main__":
    main()
