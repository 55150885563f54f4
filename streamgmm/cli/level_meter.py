"""A level meter for the terminal, to test a microphone."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import numpy as np
from rich.live import Live
from rich.text import Text

from streamgmm.arrays import Samples
from streamgmm.audio.microphone.microphone import Microphone
from streamgmm.audio.source import Source
from streamgmm.units import SILENCE_DBFS, power_to_dbfs, seconds_to_samples

METER_RATE_HZ = 16000
METER_INTERVAL_S = 0.1
PEAK_HOLD_S = 1.5
PRINT_INTERVAL_S = 1.0
PRINT_DURATION_S = 10.0
BOTTOM_DBFS = -90.0
CLIPPING_DBFS = -0.1
_BAR_CELLS = 50

Show = Callable[[str], None]


class LevelMeter:
    """Measure the levels of consecutive intervals of `interval_s`, holding the peak for `PEAK_HOLD_S`.

    Attributes:
        level_dbfs: RMS level of the last complete interval.
        held_peak_dbfs: level of the largest sample of the last `PEAK_HOLD_S`.
        n_intervals: number of complete intervals so far.
    """

    def __init__(self, sample_rate_hz: int = METER_RATE_HZ, interval_s: float = METER_INTERVAL_S) -> None:
        self.level_dbfs = SILENCE_DBFS
        self.held_peak_dbfs = SILENCE_DBFS
        self.n_intervals = 0
        self._interval_s = interval_s
        self._interval_samples = max(1, seconds_to_samples(interval_s, sample_rate_hz))
        self._hold_intervals = round(PEAK_HOLD_S / interval_s)
        self._pending = np.empty(0, np.float32)
        self._held_for = 0

    @property
    def heard_s(self) -> float:
        """Duration of all complete intervals so far (s)."""
        return self.n_intervals * self._interval_s

    def push(self, samples: Samples) -> Iterator[LevelMeter]:
        """Add samples (float32, shape (n,)), and yield the meter after each interval that they complete."""
        self._pending = np.concatenate([self._pending, samples])
        while len(self._pending) >= self._interval_samples:
            interval, self._pending = np.split(self._pending, [self._interval_samples])
            self._measure(interval.astype(np.float64))
            yield self

    def _measure(self, interval: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
        # The variance excludes a constant offset, with which a silent room would show a level.
        self.level_dbfs = power_to_dbfs(float(np.var(interval, dtype=np.float64)))
        # The offset counts here: whether a signal clips depends on its actual values.
        peak_dbfs = power_to_dbfs(float(np.max(interval**2)))
        self._held_for += 1
        if peak_dbfs >= self.held_peak_dbfs or self._held_for > self._hold_intervals:
            self.held_peak_dbfs, self._held_for = peak_dbfs, 0
        self.n_intervals += 1

    def bar(self, n_cells: int = _BAR_CELLS) -> str:
        """Return the level as a bar from `BOTTOM_DBFS` to full scale, with a mark at the held peak."""
        cells = ["█"] * _n_lit_cells(self.level_dbfs, n_cells)
        cells += ["·"] * (n_cells - len(cells))
        cells[max(0, _n_lit_cells(self.held_peak_dbfs, n_cells) - 1)] = "┃"
        return "".join(cells)

    def describe(self) -> str:
        """Return both levels as text, with a warning for silence or clipping."""
        if self.held_peak_dbfs <= SILENCE_DBFS:
            return "exact silence: muted, or not connected?"
        warning = "  clipping: lower the gain" if self.held_peak_dbfs >= CLIPPING_DBFS else ""
        return f"{self.level_dbfs:6.1f} dBFS  peak {self.held_peak_dbfs:6.1f}{warning}"


def _n_lit_cells(level_dbfs: float, n_cells: int) -> int:
    return round(n_cells * min(1.0, max(0.0, 1.0 - level_dbfs / BOTTOM_DBFS)))


def watch_level(device: str | int | None, duration_s: float | None) -> None:
    """Show the level of a microphone for `duration_s` of audio, or until KeyboardInterrupt.

    Without a duration the meter runs forever on a terminal. Elsewhere it runs for `PRINT_DURATION_S`, and prints a
    line every `PRINT_INTERVAL_S`.

    Raises:
        DeviceError: the device cannot be opened, or is lost.
    """
    microphone = Microphone(device)
    meter = LevelMeter()
    if not sys.stdout.isatty():
        duration_s = PRINT_DURATION_S if duration_s is None else duration_s
        # A shorter test still prints one line.
        meter = LevelMeter(interval_s=min(PRINT_INTERVAL_S, duration_s))
    with contextlib.closing(microphone), _display() as show:
        microphone.open(METER_RATE_HZ)
        show_levels(microphone, show, duration_s, meter)


def show_levels(source: Source, show: Show, duration_s: float | None, meter: LevelMeter) -> None:
    """Pass one line to `show` for every interval of an open source."""
    while (block := source.read()) is not None:
        for reading in meter.push(block.samples):
            show(f"{reading.bar()}  {reading.describe()}")
            # The tolerance makes three intervals of 0.1 s reach 0.3 s in spite of rounding.
            if duration_s is not None and reading.heard_s >= duration_s - 1e-6:
                return


@contextlib.contextmanager
def _display() -> Iterator[Show]:
    """Yield a function that shows a line: in place on a terminal, elsewhere one line after the other."""
    if not sys.stdout.isatty():
        yield lambda line: print(line, flush=True)
        return

    # Drawn at each new level; the refresh thread of rich would only repeat the same line.
    with Live(auto_refresh=False) as live:
        yield lambda line: live.update(Text(line, no_wrap=True, overflow="crop"), refresh=True)
