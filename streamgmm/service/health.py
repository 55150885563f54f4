"""Health of a source: one state derived from the capture, the worker and the signal.

| state | meaning | reported after |
|---|---|---|
| ok | no problem | |
| quiet | the level is below the silence gate | `QUIET_S` |
| silent | every sample is exactly zero: muted, or a dead microphone | `FLAT_S` |
| flat | every sample has the same value, but not zero | `FLAT_S` |
| clipping | more than `CLIPPED_SHARE` of a second is at full scale | at once, until `UNCLIPPED_S` without |
| overloaded | the machine is too slow, and hops are skipped | see `service.overload` |
| stalled, lost | the microphone hangs, or is gone | at once |
| recovering | the microphone is being opened again | |
| degraded | no sound has arrived since the start | |

If several apply, the lowest in the table is reported.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import numpy as np

from streamgmm import units
from streamgmm.arrays import Samples

CaptureState = Literal["ok", "degraded", "recovering", "stalled", "lost"]
SignalState = Literal["ok", "quiet", "silent", "flat", "clipping"]
State = Literal[CaptureState, SignalState, "overloaded", "starting"]

STATES: tuple[State, ...] = (
    *("ok", "quiet", "silent", "flat", "clipping", "overloaded"),
    *("stalled", "lost", "recovering", "degraded", "starting"),
)
"""All states, from best to worst."""

HEARING_STATES: frozenset[str] = frozenset({"ok", "quiet", "clipping", "overloaded"})
"""States in which sound arrives. `silent` and `flat` are not among them: samples arrive, but from a muted or dead
microphone."""

LEVEL_S = 1.0
FLAT_S = 10.0
QUIET_S = 30.0
UNCLIPPED_S = 10.0
CLIPPED_SHARE = 0.01

FULL_SCALE = 0.999
"""Magnitude from which a sample counts as full scale: 16-bit converters end at 0.99997, and resampling ripples."""

FLAT_RANGE = 1e-6
"""Range below which samples count as equal: a thirtieth of a 16-bit step, but above the ripple of resampling."""


class _Hop(NamedTuple):
    n_samples: int
    power: float
    n_clipped: int


class SignalHealth:
    """Detect problems of the signal itself, hop by hop; time constants keep state changes to a few per minute.

    Args:
        sample_rate_hz: rate of the samples.
        silence_gate_dbfs: level below which the signal is quiet (dB re full scale).

    Attributes:
        gate_dbfs: the silence gate; may be changed at any time.
        state: the latest state.
        level_dbfs: level of the last second within the analysed bands (dB re full scale); None before the first hop.
        n_clipped_samples: number of samples at full scale so far.
    """

    def __init__(self, sample_rate_hz: int, silence_gate_dbfs: float) -> None:
        self.gate_dbfs = silence_gate_dbfs
        durations_s = (LEVEL_S, FLAT_S, QUIET_S, UNCLIPPED_S)
        self._level_samples, self._flat_samples, self._quiet_samples, self._unclipped_samples = (
            units.seconds_to_samples(duration_s, sample_rate_hz) for duration_s in durations_s
        )
        self.n_clipped_samples = 0
        self.reset()

    def reset(self) -> None:
        """Start from scratch, for another microphone or for the same one after a break; the clipped count stays."""
        self.state: SignalState = "ok"
        self.level_dbfs: float | None = None
        self._hops: deque[_Hop] = deque()
        self._n_samples = self._n_clipped = 0
        self._low = self._high = 0.0
        self._n_flat = self._n_quiet = 0
        # As after a long time without clipping.
        self._n_unclipped = self._unclipped_samples

    def update(self, samples: Samples, level_dbfs: float) -> SignalState:
        """Return the state after one more hop.

        Args:
            samples: float32, shape (n,), n at least 1, as captured.
            level_dbfs: level of the latest measured hop within the analysed bands (dB re full scale).
        """
        low, high = float(np.minimum.reduce(samples)), float(np.maximum.reduce(samples))
        # Samples are only counted one by one if the extremes may be clipped; false for NaN.
        is_loud = low <= -FULL_SCALE or high >= FULL_SCALE
        n_clipped = int(np.count_nonzero(abs(samples) >= FULL_SCALE)) if is_loud else 0
        # Back from dBFS to a mean square, because powers can be averaged and levels cannot.
        self._follow_window(_Hop(len(samples), 10.0 ** (level_dbfs / 10.0), n_clipped))
        self._follow_level(len(samples))
        self._follow_range(low, high, len(samples))
        self._follow_clipping(len(samples))
        self.state = self._decide()
        return self.state

    def _follow_window(self, hop: _Hop) -> None:
        self.n_clipped_samples += hop.n_clipped
        self._hops.append(hop)
        self._n_samples += hop.n_samples
        self._n_clipped += hop.n_clipped
        # Keeps the shortest run of hops that covers `LEVEL_S`.
        while self._n_samples - self._hops[0].n_samples >= self._level_samples:
            oldest = self._hops.popleft()
            self._n_samples -= oldest.n_samples
            self._n_clipped -= oldest.n_clipped

    def _follow_level(self, n_samples: int) -> None:
        # Summed from scratch each time: a running sum would keep the rounding error of the loudest hop forever.
        power = sum([hop.power * hop.n_samples for hop in self._hops]) / self._n_samples
        self.level_dbfs = units.power_to_dbfs(power)
        self._n_quiet = self._n_quiet + n_samples if self.level_dbfs < self.gate_dbfs else 0

    def _follow_range(self, low: float, high: float, n_samples: int) -> None:
        # The range of the whole stretch, so that a slow drift does not count as flat.
        low_so_far, high_so_far = min(self._low, low), max(self._high, high)
        if self._n_flat and high_so_far - low_so_far <= FLAT_RANGE:
            self._low, self._high = low_so_far, high_so_far
            self._n_flat += n_samples
        else:
            self._low, self._high = low, high
            self._n_flat = n_samples if high - low <= FLAT_RANGE else 0  # false for NaN

    def _follow_clipping(self, n_samples: int) -> None:
        is_clipping = self._n_clipped > CLIPPED_SHARE * self._n_samples
        self._n_unclipped = 0 if is_clipping else self._n_unclipped + n_samples

    def _decide(self) -> SignalState:
        if self._n_flat >= self._flat_samples:
            return "flat" if self._low or self._high else "silent"
        if self._n_unclipped < self._unclipped_samples:
            return "clipping"
        return "quiet" if self._n_quiet >= self._quiet_samples else "ok"


_SIGNAL_DETAILS: dict[SignalState, str] = {
    "quiet": f"nothing above the silence gate for {QUIET_S:g} s",
    "silent": f"every sample has been exactly zero for {FLAT_S:g} s: muted, or a dead microphone",
    "flat": f"every sample has been the same for {FLAT_S:g} s: a dead microphone",
    "clipping": f"more than {CLIPPED_SHARE:.0%} of the samples are at full scale: turn the gain down",
}

OnChange = Callable[[State, str], None]


class Condition:
    """Combine the states of capture, worker and signal, each set from its own thread, and report every change.

    Args:
        on_change: receives each new state and its reason; one call at a time.

    Attributes:
        current: the state reported last, and its reason.
    """

    def __init__(self, on_change: OnChange) -> None:
        self.current: tuple[State, str] = ("starting", "no sound yet")
        self._on_change = on_change
        # Also held during `on_change`, so that changes are reported in the order in which they happen.
        # Taken after the turn of a channel, and before the lock of its publisher.
        self._lock = threading.Lock()
        self._capture: tuple[State, str] = self.current
        self._is_overloaded = False
        self._signal: SignalState = "ok"

    def say_capture(self, state: CaptureState, detail: str) -> None:
        """Set the state of the capture, and reset that of the signal, which `SignalHealth` then measures again."""
        with self._lock:
            self._capture, self._signal = (state, detail), "ok"
            self._tell()

    def say_overload(self, *, is_overloaded: bool) -> None:
        """Set whether the worker is overloaded; cheap if that has not changed."""
        # Compared without the lock: only the worker thread writes it.
        if is_overloaded != self._is_overloaded:
            with self._lock:
                self._is_overloaded = is_overloaded
                self._tell()

    def say_signal(self, state: SignalState) -> None:
        """Set the state of the signal; cheap if unchanged, and ignored unless the capture is `ok`."""
        if state != self._signal:
            with self._lock:
                self._signal = state if self._capture[0] == "ok" else "ok"
                self._tell()

    def _tell(self) -> None:
        now = self._combined()
        if now != self.current:
            self.current = now
            self._on_change(*now)

    def _combined(self) -> tuple[State, str]:
        if self._capture[0] != "ok":
            return self._capture
        if self._is_overloaded:
            return "overloaded", "the machine is too slow: hops are skipped"
        if self._signal != "ok":
            return self._signal, _SIGNAL_DETAILS[self._signal]
        return self._capture


def worst_of(conditions: Mapping[str, tuple[State, str]]) -> tuple[State, str] | None:
    """Return the worst of the states of several sources, by name, with each of them; None if one has none yet."""
    worst = max((state for state, _ in conditions.values()), key=STATES.index)
    # The worst of all states.
    if worst == "starting":
        return None
    return worst, ", ".join(f"{name}: {state}" for name, (state, _) in conditions.items())
