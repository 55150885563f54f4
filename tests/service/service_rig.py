"""A source that follows a script, time that only waiting moves, and a sink that keeps everything."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from streamgmm.audio.choosing import PlannedSource
from streamgmm.audio.source import Block, Vitals
from streamgmm.records import Bye, Record
from streamgmm.sinks.control import Obey
from streamgmm.sinks.sink import Message, OnFailure, Snapshot
from tests.narrowing import only

R = TypeVar("R", bound=Record)

RATE_HZ = 8000
TIMEOUT_S = 10.0


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.1, 0.1, n_samples).astype(np.float32)


class FakeTime:
    """Seconds pass only in `wait`, and where a script says so."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept_s = 0.0
        self.waits_s: list[float] = []
        self.on_wait: Callable[[], None] = lambda: None

    def clock(self) -> float:
        return self.now_s

    def boot_clock(self) -> float:
        return self.now_s + self.slept_s

    def sleep(self, duration_s: float) -> None:
        """The machine sleeps: only the boot-time clock goes on."""
        self.slept_s += duration_s

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        self.waits_s.append(timeout_s)
        self.now_s += timeout_s
        self.on_wait()
        return event.is_set()


def passes(time: FakeTime, duration_s: float) -> Callable[[], None]:
    """A step of a script in which nothing but time goes on."""

    def step() -> None:
        time.now_s += duration_s

    return step


class FakeSource:
    """Follows a script whose steps are: an int (so many samples), a `Block`, a callable, an error, or "hang".

    Attributes:
        hanging: set while it hangs, as a device does that neither delivers nor fails.
        n_delivered: samples delivered so far.
    """

    def __init__(self, *script: object, is_live: bool = True, name: str = "mic") -> None:
        self.name = name
        self.is_live = is_live
        self.is_closed = threading.Event()
        self.hanging = threading.Event()
        self.n_delivered = 0
        self._script = list(script)

    def open(self, sample_rate_hz: int, block_samples: int | None = None) -> None:
        if self._script and isinstance(self._script[0], Exception):
            raise self._script[0]

    def read(self) -> Block | None:
        while self._script and not self.is_closed.is_set():
            match self._script.pop(0):
                case Exception() as error:
                    raise error
                case Block() as block:
                    self.n_delivered += len(block.samples)
                    return block
                case int(n_samples):
                    self.n_delivered += n_samples
                    return Block(noise(n_samples, self.n_delivered))
                case "hang":
                    self.hanging.set()
                    self.is_closed.wait(TIMEOUT_S)
                case step:
                    assert callable(step)
                    step()
        return None

    def vitals(self) -> Vitals:
        return Vitals(self.name)

    def close(self) -> None:
        self.is_closed.set()


def plan(*sources: FakeSource) -> PlannedSource:
    """What the settings would name for these sources, made in turn; the last one again and again."""
    return PlannedSource(sources[0].name, sources[0].is_live, is_device=True, make=supply(*sources))


def supply(*sources: FakeSource) -> Callable[[], FakeSource]:
    """Makes the sources in turn; the last one again and again."""
    rest = list(sources)
    return lambda: rest.pop(0) if len(rest) > 1 else rest[0]


class KeepingSink:
    """Keeps all records; `on_record` sees each one first, in the publishing thread."""

    name = "keeping:"
    snapshot: Snapshot | None = None
    obey: Obey | None = None
    n_clients = 0

    def __init__(self, on_record: Callable[[Record], object] = lambda record: None) -> None:
        self.records: list[Record] = []
        self.calls: list[str] = []
        self.changed = threading.Condition()
        self.fail: OnFailure
        self._on_record = on_record

    def open(self, on_failure: OnFailure) -> None:
        self.fail = on_failure

    def publish(self, message: Message) -> None:
        self._on_record(message.record)
        with self.changed:
            self.records.append(message.record)
            self.changed.notify_all()

    def drain(self) -> None:
        self.calls.append("drain")

    def hurry(self) -> None:
        self.calls.append("hurry")

    def reopen(self) -> None:
        self.calls.append("reopen")

    def close(self, timeout_s: float) -> None:
        self.calls.append("close")

    def of(self, kind: type[R]) -> list[R]:
        return only(self.records, kind)

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait for what is true after some record at the latest."""
        with self.changed:
            assert self.changed.wait_for(condition, TIMEOUT_S)

    def wait_for(self, kind: type[Record]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.of(kind), TIMEOUT_S)


def check_conservation(bye: Record, captured_samples: int, *, in_flight_samples: int | None = 0) -> Bye:
    """Every sample that a source delivered is analysed, lost or in flight; at a regular end none is in flight."""
    assert isinstance(bye, Bye)
    assert bye.captured_samples == captured_samples
    assert bye.captured_samples == bye.analysed_samples + bye.lost_samples + bye.in_flight_samples
    assert bye.in_flight_samples >= 0
    if in_flight_samples is not None:
        assert bye.in_flight_samples == in_flight_samples
    return bye
