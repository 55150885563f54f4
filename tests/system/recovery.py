"""How soon a lost microphone is noticed, and how soon it is heard again.

`python -m tests.system.recovery --cycles 200` takes away the microphone of a real `streamgmm run` on a real
PulseAudio again and again, in four ways in a random order: its sink is unloaded, the server is killed, the
server is stopped (SIGSTOP), the capture process is killed. Each time it stays away for a random while. Prints
when the stream said so (from the fault on) and when the next window was analysed (from the moment on in which
the microphone was there again), and fails if a promise is broken.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from streamgmm.model import shipped
from tests.pulse_rig import PulseServer, missing_parts
from tests.sound_servers import SERVERS, sound_server
from tests.system.listening import RATE_HZ, Listening, listening
from tests.system.run_rig import Json

DETECTED_LIMIT_S = 3.0
BACK_P95_LIMIT_S = 5.0
BACK_LIMIT_S = 10.0
LONGEST_OUTAGE_S = 4.0
LONGEST_CYCLE_S = 20.0
MICROPHONE = "mic"
"""Name of the source that is taken away."""

SLACK_S = 0.05
SHIPPED = Path(shipped.__file__).with_name(shipped.SHIPPED_NAME)


class Cycle(NamedTuple):
    """One fault: its name, seconds until it was noticed, seconds from its end until a window was analysed."""

    fault: str
    detected_s: float
    back_s: float


class Result(NamedTuple):
    """The cycles, and what became of the samples.

    A loss is measured by the clock, to a few hundredths of a second each: that is what the stream may be off.

    Attributes:
        cycles: in their order.
        unaccounted_samples: samples that nothing accounts for, of all sources.
        ahead_s: how much longer the stream of the microphone is than the time that went by (s).
        n_gaps_beside: gaps in the other sources, which lose nothing.
    """

    cycles: list[Cycle]
    unaccounted_samples: int
    ahead_s: float
    n_gaps_beside: int = 0

    def broken_promises(self) -> list[str]:
        detected_s, back_s = (np.array([cycle[i] for cycle in self.cycles]) for i in (1, 2))
        checks = {
            f"detected within {DETECTED_LIMIT_S:g} s": detected_s.max() <= DETECTED_LIMIT_S,
            f"back within {BACK_LIMIT_S:g} s": back_s.max() <= BACK_LIMIT_S,
            f"95 of 100 back within {BACK_P95_LIMIT_S:g} s": np.percentile(back_s, 95) <= BACK_P95_LIMIT_S,
            "every sample accounted for": self.unaccounted_samples == 0,
            "the other sources lose nothing": self.n_gaps_beside == 0,
            "the stream as long as the time": abs(self.ahead_s) <= 0.4 + SLACK_S * len(self.cycles),
        }
        return [promise for promise, is_kept in checks.items() if not is_kept]


class Faults:
    """The ways to lose a microphone, each with the way to have it back."""

    def __init__(self, server: PulseServer, stream: Listening) -> None:
        self._server = server
        self._stream = stream
        self.by_name: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "sink unloaded": (server.unload_sink, server.load_sink),
            "server killed": (server.kill, server.start),
            "server stopped": (server.freeze, server.thaw),
            "capture process killed": (self._kill_child, lambda: None),
        }

    def _kill_child(self) -> None:
        for task in Path(f"/proc/{self._stream.daemon.process.pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                os.kill(int(child), signal.SIGKILL)

    def cycle(self, name: str, outage_s: float) -> Cycle:
        """Do it, leave it for `outage_s` seconds after it was noticed, undo it, and wait for sound."""
        lose, restore = self.by_name[name]
        faulty_s = time.monotonic()
        lose()
        noticed_s = self._stream.read_until(
            "status", source=MICROPHONE, after=lambda record: record["state"] in ("lost", "stalled")
        )
        if name == "capture process killed":
            restored_s = faulty_s
        else:
            time.sleep(outage_s)
            restore()
            restored_s = time.monotonic()
        self._stream.read_until("status", source=MICROPHONE, state="ok")
        heard_s = self._stream.read_until("window", source=MICROPHONE)
        # Some sound in between, or the next fault is one of a microphone that was not heard at all.
        self._stream.read_until("window", source=MICROPHONE, after=lambda record: time.monotonic() > heard_s + 0.5)
        return Cycle(name, noticed_s - faulty_s, heard_s - restored_s)


def measure(
    model: Path,
    folder: Path,
    faults: tuple[int, int],
    tell: Callable[[Cycle], None],
    kind: str = "pulseaudio",
    n_sources: int = 1,
) -> Result:
    """Run cycles of faults on a sound server while the other sources are recordings at their own pace.

    Args:
        model: of all sources.
        folder: for files of the server and recordings.
        faults: number of cycles, and the seed of their order.
        tell: receives each cycle.
        kind: one of `SERVERS`.
        n_sources: the microphone and the others.
    """
    n_cycles, seed = faults
    generator = random.Random(seed)
    others = list(_recordings(folder, n_sources - 1, n_cycles))
    with sound_server(kind, folder) as server:
        server.start()
        with listening(model, server, *others) as stream:
            ways = Faults(server, stream)
            names = list(ways.by_name) * -(-n_cycles // len(ways.by_name))
            generator.shuffle(names)
            cycles = []
            for name in names[:n_cycles]:
                cycles.append(ways.cycle(name, generator.uniform(0.0, LONGEST_OUTAGE_S)))
                tell(cycles[-1])
            passed_s, heard_s = stream.times_s()
            stream.stop()
            unaccounted = sum(_unaccounted_samples(records) for records in _by_source(stream).values())
            n_gaps = sum(r["type"] == "gap" and r["source"] != MICROPHONE for r in stream.records)
            return Result(cycles, unaccounted, heard_s - passed_s, n_gaps)


def _recordings(folder: Path, n: int, n_cycles: int) -> Iterator[str]:
    """Yield the options for `n` recordings that last longer than the faults."""
    samples = 0.01 * np.random.default_rng(0).standard_normal((n_cycles + 2) * round(LONGEST_CYCLE_S * RATE_HZ))
    for i in range(n):
        soundfile.write(folder / f"{i}.wav", samples, RATE_HZ, subtype="PCM_16")
        yield f"--source=other{i}=file:{folder}/{i}.wav"
    if n:
        yield "--set=source.pace=1"


def _by_source(stream: Listening) -> dict[str, list[Json]]:
    names = {record["source"] for record in stream.records}
    return {name: [record for record in stream.records if record["source"] == name] for name in names}


def _unaccounted_samples(records: list[Json]) -> int:
    """What is missing from: time of the stream = analysed + lost, and captured = analysed + lost + in flight."""
    rate_hz, bye = records[0]["sample_rate_hz"], records[-1]
    lost = [gap["lost_samples"] for gap in records if gap["type"] == "gap"]
    elsewhere = abs(round(bye["t"] * rate_hz) - bye["analysed_samples"] - sum(lost))
    known = bye["analysed_samples"] + bye["lost_samples"] + bye["in_flight_samples"]
    return abs(int(bye["captured_samples"] - known)) + elsewhere


def table_of(cycles: list[Cycle]) -> Table:
    table = Table("fault", title=f"{len(cycles)} times without a microphone (s)")
    for heading in ("times", "noticed p95", "max", "back p95", "max"):
        table.add_column(heading, justify="right")
    for name in [*dict.fromkeys(cycle.fault for cycle in cycles), "all"]:
        rows = [cycle for cycle in cycles if name in (cycle.fault, "all")]
        detected_s, back_s = (np.array([row[i] for row in rows]) for i in (1, 2))
        figures = [np.percentile(detected_s, 95), detected_s.max(), np.percentile(back_s, 95), back_s.max()]
        table.add_row(name, str(len(rows)), *(f"{figure:.2f}" for figure in figures))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--cycles", type=int, default=200, metavar="N", help="how many faults (default: 200)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the order and the outages")
    parser.add_argument(
        "--server", choices=SERVERS, default=SERVERS[0], help="which sound server (default: pulseaudio)"
    )
    parser.add_argument("--sources", type=int, default=1, metavar="N", help="the microphone and N - 1 recordings")
    parser.add_argument("-m", "--model", type=Path, default=SHIPPED, metavar="MODEL", help="default: that in the box")
    arguments = parser.parse_args()
    if missing := missing_parts():
        print(f"missing {', '.join(missing)}", file=sys.stderr)
        return 1
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        faults = (arguments.cycles, arguments.seed)
        result = measure(arguments.model, Path(folder), faults, _tell, arguments.server, arguments.sources)
    console.print(table_of(result.cycles))
    console.print(f"samples that are not accounted for: {result.unaccounted_samples}")
    console.print(f"the stream is ahead of the clock by {result.ahead_s:.3f} s")
    for promise in result.broken_promises():
        console.print(f"BROKEN: {promise}")
    return 1 if result.broken_promises() else 0


def _tell(cycle: Cycle) -> None:
    print(f"{cycle.fault}: noticed {cycle.detected_s:.2f} s, back {cycle.back_s:.2f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
