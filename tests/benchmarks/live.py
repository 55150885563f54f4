"""Costs against the clock: a daemon on a live stream, and openSMILE on the same: `python -m tests.benchmarks.live`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.benchmarks.material import Material, make_material
from tests.pulse_rig import PulseServer, missing_parts

TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
SETTLE_S = 3.0


def run_table(material: Material, duration_s: float) -> Table:
    """Start, CPU and memory of `run`: on a paced recording, and on a microphone where one can be had."""
    table = Table("source", title=f"A live stream of {material.rate_hz} Hz for {duration_s:.0f} s, all processes")
    for heading in ("first window", "% of a core", "RSS MiB", "PSS MiB"):
        table.add_column(heading, justify="right")
    paced = [f"file:{material.scene_path}", "--pace", "1"]
    table.add_row("file at its own pace", *_measure(material, paced, duration_s, dict(os.environ)))
    if not missing_parts():
        with tempfile.TemporaryDirectory() as folder:
            server = PulseServer(Path(folder), rate_hz=material.rate_hz)
            server.start()
            try:
                player = server.play(material.scene_path)
                table.add_row("microphone", *_measure(material, ["mic"], duration_s, server.env))
                player.kill()
            finally:
                server.close()
    return table


def peer_table(material: Material, duration_s: float, n_rounds: int) -> Table:
    """CPU of `run` and of openSMILE on one microphone, in turn; needs a sound server and openSMILE."""
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        server = PulseServer(Path(folder), rate_hz=material.rate_hz)
        server.start()
        try:
            for _ in range(n_rounds):
                for command, shares in ((_run_command(material, "mic"), ours), (_peer_command(material), theirs)):
                    player = server.play(material.scene_path)
                    shares.append(_cpu_share(command, duration_s, server.env))
                    player.kill()
        finally:
            server.close()
    title = f"A microphone of {material.rate_hz} Hz, {n_rounds} rounds of {duration_s:.0f} s, all processes"
    table = Table("program", title=title)
    for heading in ("% of a core", "part of openSMILE"):
        table.add_column(heading, justify="right")
    ratio = median(our / their for our, their in zip(ours, theirs, strict=True))
    table.add_row("run", f"{100 * median(ours):.2f}", f"{ratio:.2f}")
    table.add_row("openSMILE, eGeMAPSv02 descriptors", f"{100 * median(theirs):.2f}", "1")
    return table


def can_compare() -> bool:
    """Whether `peer_table` can be measured here."""
    return not missing_parts() and find_spec("opensmile") is not None


def _run_command(material: Material, *source: str) -> list[str]:
    command = [sys.executable, "-m", "streamgmm", "run", "--model", str(material.model_path), "--windows"]
    return [*command, "--source", *source]


def _peer_command(material: Material) -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.live_peer", str(material.rate_hz)]


def _cpu_share(command: list[str], duration_s: float, env: dict[str, str]) -> float:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env) as program:
        lines = program.stdout or ()
        since_s = busy_before_s = end_s = None
        for _ in lines:
            now_s = time.monotonic()
            since_s = since_s or now_s
            if end_s is None and now_s - since_s >= SETTLE_S:
                since_s, busy_before_s, end_s = now_s, cpu_s(program.pid), now_s + duration_s
            if end_s is not None and now_s >= end_s:
                break
        if since_s is None or busy_before_s is None:
            raise RuntimeError(f"{command[2]} ended before it was measured")
        share = (cpu_s(program.pid) - busy_before_s) / (time.monotonic() - since_s)
        program.terminate()
        program.communicate()
    return share


def _measure(material: Material, source: list[str], duration_s: float, env: dict[str, str]) -> list[str]:
    started_s = time.monotonic()
    with subprocess.Popen(
        _run_command(material, *source), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
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


def main() -> None:
    console = Console(width=100)
    for rate_hz in (16000, 44100):
        with tempfile.TemporaryDirectory() as folder:
            material = make_material(Path(folder), rate_hz)
            console.print(run_table(material, duration_s=40.0))
            if can_compare():
                console.print(peer_table(material, duration_s=20.0, n_rounds=5))


if __name__ == "__main__":
    main()
