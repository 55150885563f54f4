"""A daemon that listens to a sound server and tells every window, and when each of its records came."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pulse_rig import PulseServer
from tests.system.run_rig import Daemon, Json, check_bye, parse, running

RATE_HZ = 16000


class Listening:
    """A daemon that tells every window, and when each record came."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.records: list[Json] = []
        self.came_s: list[float] = []

    def read_until(self, kind: str, *, after: Callable[[Json], bool] = lambda record: True, **values: object) -> float:
        """Read up to the first record of that kind and values; returns when it came."""
        for line in self.daemon.process.stdout:
            record = json.loads(line)
            self.records.append(record)
            self.came_s.append(time.monotonic())
            if record["type"] == kind and values.items() <= record.items() and after(record):
                return self.came_s[-1]
        raise AssertionError(f"no {kind} {values} in {self.records[-5:]}\n{self.daemon.log}")

    def gaps(self) -> list[tuple[str, float]]:
        return [(r["reason"], r["lost_samples"] / RATE_HZ) for r in self.records if r["type"] == "gap"]

    def times_s(self) -> tuple[float, float]:
        """How long it listened, by the clock and by the stream."""
        settled_s = time.monotonic() + 0.5  # what was held back until it was certain has come by then
        self.read_until("window", source="mic", after=lambda record: time.monotonic() > settled_s)
        came = zip(self.came_s, self.records, strict=True)
        windows = [
            (came_s, record["t"]) for came_s, record in came if (record["type"], record["source"]) == ("window", "mic")
        ]
        return windows[-1][0] - windows[0][0], windows[-1][1] - windows[0][1]

    def check_time(self) -> None:
        """Nothing is missing and nothing is counted twice: the stream is as long as the time that went by."""
        passed_s, heard_s = self.times_s()
        # A hop, a block, and a period of the driver at either end.
        assert heard_s == pytest.approx(passed_s, abs=0.4)

    def stop(self) -> None:
        self.daemon.terminate()
        rest = parse(self.daemon.process.stdout.read())
        check_bye(rest[-1], "SIGTERM")
        self.records += rest


@contextlib.contextmanager
def listening(model: Path, server: PulseServer, *arguments: object) -> Iterator[Listening]:
    # A source has a name where there are several.
    microphone = "mic=mic" if any(str(argument).startswith("--source") for argument in arguments) else "mic"
    with running("-m", model, "-s", microphone, "--windows", *arguments, env=server.env) as daemon:
        stream = Listening(daemon)
        stream.read_until("window", source="mic")
        yield stream
