"""Prints how long after the last sample of a hop its record is read by another process:
`python -m tests.benchmarks.latency`.

Samples are written to a pipe in blocks of 20 ms at the pace of a microphone. Beside it a relay, `cat`: what it takes is
that of the machine, which wakes a process from its sleep and passes the bytes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from math import ceil
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from streamgmm.arrays import Float64Array
from streamgmm.audio.reading import read_recording
from tests.benchmarks.material import RATE_HZ, Material, make_material
from tests.narrowing import present

BLOCK_S = 0.02
BLOCK_SAMPLES = round(BLOCK_S * RATE_HZ)
BLOCK_BYTES = 2 * BLOCK_SAMPLES
WARM_UP_S = 3.0
DURATION_S = 40.0
PIPE_BYTES = 65536


def latency_table(material: Material, duration_s: float) -> Table:
    """Median and 99th percentile from the block that completes a hop to its line, and the same of a relay."""
    table = Table("from block to reader", title=f"Latency over {duration_s:.0f} s")
    for heading in ("median ms", "p99 ms"):
        table.add_column(heading, justify="right")
    samples = read_recording(material.scene_path).samples
    pcm = np.round(32767 * samples[: round((WARM_UP_S + duration_s) * RATE_HZ)]).astype("<i2").tobytes()
    daemon = [sys.executable, "-m", "streamgmm", "run", "--model", str(material.model_path), "--windows"]
    raw = ["--source", "pcm:-", "--set", f"source.pcm_rate_hz={RATE_HZ}", "--format", "jsonl"]
    for name, command, read in (("streamgmm run", [*daemon, *raw], _read_windows), ("cat", ["cat"], _read_blocks)):
        delays_ms = 1e3 * _delays_s(command, pcm, read)
        table.add_row(name, f"{np.median(delays_ms):.2f}", f"{np.percentile(delays_ms, 99):.2f}")
    return table


Arrivals = list[tuple[int, float]]
"""Number of the block that was answered, and when (s, monotonic)."""


def _delays_s(
    command: list[str], pcm: bytes, read: Callable[[subprocess.Popen[bytes], Arrivals], None]
) -> Float64Array:
    blocks = [pcm[first : first + BLOCK_BYTES] for first in range(0, len(pcm), BLOCK_BYTES)]
    arrivals: Arrivals = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    ) as process:
        reader = threading.Thread(target=read, args=(process, arrivals))
        reader.start()
        written_s = _write_paced(process, blocks)
        present(process.stdin).close()
        reader.join()
    n_warm = round(WARM_UP_S / BLOCK_S)
    return np.array([arrived_s - written_s[i] for i, arrived_s in arrivals if n_warm <= i < len(blocks)])


def _write_paced(process: subprocess.Popen[bytes], blocks: list[bytes]) -> list[float]:
    stdin, begin_s = present(process.stdin), time.monotonic()
    written_s = []
    for i, block in enumerate(blocks):
        time.sleep(max(0.0, begin_s + i * BLOCK_S - time.monotonic()))
        written_s.append(time.monotonic())
        stdin.write(block)
    return written_s


def _read_windows(process: subprocess.Popen[bytes], arrivals: Arrivals) -> None:
    rest = b""
    for data, now_s in _pieces_of(process):
        *lines, rest = (rest + data).split(b"\n")
        for record in map(json.loads, lines):
            if record["type"] == "window":
                # The block with the last sample of the hop.
                arrivals.append((ceil(round(record["t"] * RATE_HZ) / BLOCK_SAMPLES) - 1, now_s))


def _read_blocks(process: subprocess.Popen[bytes], arrivals: Arrivals) -> None:
    n_bytes = 0
    for data, now_s in _pieces_of(process):
        n_bytes += len(data)
        arrivals.append((n_bytes // BLOCK_BYTES - 1, now_s))


def _pieces_of(process: subprocess.Popen[bytes]) -> Iterator[tuple[bytes, float]]:
    """Yield what is there at each time that something is, and when (s, monotonic)."""
    while data := present(process.stdout).read(PIPE_BYTES):
        yield data, time.monotonic()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Console(width=100).print(latency_table(make_material(Path(folder)), DURATION_S))


if __name__ == "__main__":
    main()
