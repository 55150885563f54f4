"""Costs without a clock: `classify` as a whole process; `streamgmm bench` measures the stages of the pipeline."""

from __future__ import annotations

import resource
import subprocess
import sys
from statistics import median

from rich.table import Table

from tests.benchmarks.material import SCENE_S, Material


def classify_table(material: Material, n_rounds: int) -> Table:
    """`classify` as one process: CPU of all of it, start of the interpreter included."""
    command = [sys.executable, "-m", "streamgmm", "classify", "--jobs", "1", "--model", str(material.model_path)]
    files = [str(material.scene_path)] * 10
    values = []
    for _ in range(n_rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*command, *files], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        values.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    cpu_s, audio_s = median(values), len(files) * SCENE_S
    table = Table("classify, whole process", title="Ten minutes of audio at 16 kHz")
    for heading in ("CPU s", "x real time on one core"):
        table.add_column(heading, justify="right")
    table.add_row("10 files of 60 s", f"{cpu_s:.2f}", f"{audio_s / cpu_s:.0f}")
    return table
