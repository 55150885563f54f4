"""Costs against the clock: a daemon on a live stream of 16 kHz."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.table import Table

from tests.benchmarks.material import Material
from tests.pulse_rig import PulseServer, missing_parts

TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
SETTLE_S = 3.0


def run_table(material: Material, duration_s: float) -> Table:
    """Start, CPU and memory of `run`: on a paced recording, and on a microphone where one can be had."""
    table = Table("source", title=f"A live stream of 16 kHz for {duration_s:.0f} s, all processes")
    for heading in ("first window", "% of a core", "RSS MiB", "PSS MiB"):
        table.add_column(heading, justify="right")
    paced = [f"file:{material.scene_path}", "--pace", "1"]
    table.add_row("file at its own pace", *_measure(material, paced, duration_s, dict(os.environ)))
    if not missing_parts():
        with tempfile.TemporaryDirectory() as folder:
            server = PulseServer(Path(folder))
            server.start()
            try:
                player = server.play(material.scene_path)
                table.add_row("microphone", *_measure(material, ["mic"], duration_s, server.env))
                player.kill()
            finally:
                server.close()
    return table


def _measure(material: Material, source: list[str], duration_s: float, env: dict[str, str]) -> list[str]:
    command = [sys.executable, "-m", "streamgmm", "run", "--model", str(material.model_path), "--windows"]
    started_s = time.monotonic()
    with subprocess.Popen(
        [*command, "--source", *source], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    ) as daemon:
        first_window_s = _seconds_to_first_window(daemon, started_s)
        time.sleep(SETTLE_S)
        busy_before_s, since_s = cpu_s(daemon.pid), time.monotonic()
        time.sleep(duration_s)
        share = (cpu_s(daemon.pid) - busy_before_s) / (time.monotonic() - since_s)
        rss_mib, pss_mib = memory_mib(daemon.pid)
        daemon.terminate()
        daemon.communicate()
    return [f"{first_window_s:.2f} s", f"{100 * share:.2f}", f"{rss_mib:.0f}", f"{pss_mib:.0f}"]


def _seconds_to_first_window(daemon: subprocess.Popen[str], started_s: float) -> float:
    """From the start of the interpreter to the record of the first window that is a whole second long."""
    for line in daemon.stdout or ():
        record = json.loads(line)
        if record["type"] == "window" and record["t"] >= 1.0:
            return time.monotonic() - started_s
    raise RuntimeError("the daemon ended before its first window")


def _family(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    children = [child for thread in threads for child in (thread / "children").read_text().split()]
    return [pid, *(member for child in children for member in _family(int(child)))]


def cpu_s(pid: int) -> float:
    ticks = 0
    for member in _family(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_S


def memory_mib(pid: int) -> tuple[float, float]:
    sums = {"Rss": 0, "Pss": 0}
    for member in _family(pid):
        for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in sums:
                sums[name] += int(value.split()[0])
    return sums["Rss"] / 1024, sums["Pss"] / 1024
