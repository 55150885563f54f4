"""Cut takes out of a stream: of a given length, or from the moment when something sounds until it is over."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float64Array, Samples
from streamgmm.units import power_to_dbfs, seconds_to_samples

INTERVAL_S = 0.02
"""Length over which levels are measured (s): short enough for a knock."""

ONSET_DB = 10.0
"""A sound begins this far above the noise floor (dB)."""

OFFSET_DB = 6.0
"""A sound is over below this distance from the noise floor (dB)."""

LOWEST_FLOOR_DBFS = -80.0
"""Digital silence counts as a floor of this level: nothing audible is below it."""

FLOOR_S = 5.0
"""Audio from which the noise floor is estimated (s)."""

SETTLE_S = 1.0
"""Audio that has to be known of a room before a sound can stand out from it (s)."""

PRE_ROLL_S = 0.5
"""Audio of a take before its sound (s), if the take begins with a sound."""

QUIET_S = 1.0
"""A take ends when its sound has been over for this long (s)."""

MAX_SOUND_S = 30.0
"""Longest take that waits for the end of its sound (s)."""

_FLOOR_PERCENTILE = 20.0
"""Lower than the median: somebody may be speaking half of the time."""


class Take(NamedTuple):
    """One recording.

    Attributes:
        samples: float32, shape (n,), full scale 1.0.
        sample_rate_hz: rate of the samples.
        floor_dbfs: level of the room without the sound (dB re full scale).
        lost_samples: samples that the microphone lost meanwhile.
        is_whole: whether it was not interrupted.
    """

    samples: Samples
    sample_rate_hz: int
    floor_dbfs: float
    lost_samples: int = 0
    is_whole: bool = True

    @property
    def duration_s(self) -> float:
        """Length (s)."""
        return len(self.samples) / self.sample_rate_hz


def interval_levels(samples: Samples, sample_rate_hz: int) -> Float64Array:
    """Return the level of each whole interval (dB re full scale), shape (n_intervals,), without a constant offset."""
    n = seconds_to_samples(INTERVAL_S, sample_rate_hz)
    intervals = samples[: len(samples) // n * n].reshape(-1, n).astype(np.float64)
    return np.array([power_to_dbfs(float(power)) for power in intervals.var(axis=1)])


class NoiseFloor:
    """Estimate the level of the room from its last seconds.

    Attributes:
        n_levels: number of intervals that are known, up to `FLOOR_S`.
    """

    def __init__(self) -> None:
        self._levels: deque[float] = deque(maxlen=round(FLOOR_S / INTERVAL_S))

    @property
    def n_levels(self) -> int:
        """Number of intervals that are known."""
        return len(self._levels)

    def add(self, levels_dbfs: Float64Array) -> None:
        """Add the levels of intervals."""
        self._levels.extend(levels_dbfs.tolist())

    @property
    def dbfs(self) -> float:
        """Level of the room (dB re full scale), at least `LOWEST_FLOOR_DBFS`."""
        if not self._levels:
            return LOWEST_FLOOR_DBFS
        return max(LOWEST_FLOOR_DBFS, float(np.percentile(list(self._levels), _FLOOR_PERCENTILE)))


class TakeCutter:
    """Cut takes out of a stream, one after the other.

    Args:
        sample_rate_hz: rate of the stream.
        duration_s: length of each take, which `begin` starts; None to begin with a sound, and to end with it.

    Attributes:
        is_recording: whether a take has begun.
    """

    def __init__(self, sample_rate_hz: int, duration_s: float | None) -> None:
        self.is_recording = False
        self._rate_hz = sample_rate_hz
        self._duration_samples = None if duration_s is None else seconds_to_samples(duration_s, sample_rate_hz)
        self._interval_samples = seconds_to_samples(INTERVAL_S, sample_rate_hz)
        self._pre_roll: deque[Samples] = deque(maxlen=round(PRE_ROLL_S / INTERVAL_S))
        self._pending: Samples = np.zeros(0, np.float32)
        self._floor = NoiseFloor()
        self._intervals: list[Samples] = []
        self._levels: list[float] = []
        self._n_quiet = 0
        self._n_recorded = 0
        self._lost_samples = 0

    @property
    def is_settled(self) -> bool:
        """Return whether enough is known of the room for a sound to stand out from it."""
        return self._floor.n_levels * INTERVAL_S >= SETTLE_S

    @property
    def recorded_s(self) -> float:
        """Length of the present take so far (s)."""
        return len(self._intervals) * INTERVAL_S

    def begin(self) -> None:
        """Begin a take: one of a given length now, one of a sound with the pre-roll that is there."""
        self.is_recording = True
        # A take of a given length is exactly that long, whatever was before it.
        self._intervals = list(self._pre_roll) if self._duration_samples is None else []
        self._levels = []
        self._n_quiet = self._n_recorded = self._lost_samples = 0

    def lose(self, lost_samples: int) -> None:
        """Count audio that the microphone lost."""
        self._lost_samples += lost_samples

    def push(self, samples: Samples) -> Iterator[Take]:
        """Add samples (float32, shape (n,)), and yield each take that they complete."""
        self._pending = np.concatenate([self._pending, samples])
        n_whole = len(self._pending) // self._interval_samples * self._interval_samples
        whole, self._pending = np.split(self._pending, [n_whole])
        levels = interval_levels(whole, self._rate_hz)
        for interval, level in zip(whole.reshape(-1, self._interval_samples), levels.tolist(), strict=True):
            if self._add(interval, level):
                yield self._finish(is_whole=True)

    def interrupt(self) -> Take | None:
        """End the present take with what was recorded so far; None if that is nothing."""
        if not self.is_recording or not self._n_recorded:
            return None
        self._intervals.append(self._pending)
        self._pending = self._pending[:0]
        return self._finish(is_whole=False)

    def _add(self, interval: Samples, level_dbfs: float) -> bool:
        """Add one interval, and return whether it completes a take."""
        if not self.is_recording:
            is_sound = level_dbfs >= self._floor.dbfs + ONSET_DB
            if self._duration_samples is None and self.is_settled and is_sound:
                self.begin()
            else:
                self._floor.add(np.array([level_dbfs]))
                self._pre_roll.append(interval)
                return False
        self._intervals.append(interval)
        self._levels.append(level_dbfs)
        self._n_recorded += 1
        n_samples = self._n_recorded * self._interval_samples
        if self._duration_samples is not None:
            return n_samples >= self._duration_samples
        self._n_quiet = 0 if level_dbfs >= self._floor.dbfs + OFFSET_DB else self._n_quiet + 1
        return self._n_quiet * INTERVAL_S >= QUIET_S or n_samples >= MAX_SOUND_S * self._rate_hz

    def _finish(self, *, is_whole: bool) -> Take:
        self.is_recording = False
        if not self.is_settled:
            # Little was known of the room before: the quietest parts of the take are its best estimate.
            self._floor.add(np.array(self._levels))
        samples = np.concatenate(self._intervals)
        take = Take(samples, self._rate_hz, self._floor.dbfs, self._lost_samples, is_whole)
        if self._duration_samples is None and self._n_quiet * INTERVAL_S < QUIET_S:
            # The room may have become louder for good: the next take must not begin at once.
            self._floor.add(np.array(self._levels))
        self._pre_roll.clear()
        if self._duration_samples is None:
            # The next sound may begin at once. Takes of a given length follow each other without a gap or an overlap.
            self._pre_roll.extend(self._intervals)
        self._intervals = []
        return take
