"""Samples per monotonic second: what a driver lost without a word, and how far its clock is off.

A driver may lose seconds of sound and flag nothing. So the sound that came is held against the time that
passed. What is missing may still come in a burst, as after a pause of the machine; only a deficit that
stays is a loss.
"""

from __future__ import annotations

DOUBT_S = 0.1
"""Less than this may be missing at any moment: it is how unevenly drivers deliver (measured: 0.05 s)."""

STEADY_S = 0.8
"""A deficit that stays the same for so long is a loss: a burst would have made it smaller."""

STEADY_RANGE_S = 0.05
"""How much a deficit may move and still be the same."""

MAX_DOUBT_S = 3.0
"""A deficit that never stays the same is a loss after so long: sound must not be held back without end."""

MAX_DRIFT = 500e-6
"""Clocks of sound cards are off by up to 300 ppm; what is missing faster than this is missing sound."""

SETTLING_S = 10.0
MIN_DRIFT_S = 60.0
"""The drift is measured from the one on, and is told once it was measured for the other (s)."""


class FlowMeter:
    """Compares the frames that a device delivered with the time that passed.

    The deficit is the time that passed less the sound that came, whatever waits in the driver counted in.
    Its floor is its lower envelope, which may rise only as slowly as clocks drift: jitter and bursts lie
    above it, a loss lifts the deficit off it for good. Small losses (below `DOUBT_S`) go unnoticed.

    Args:
        rate_hz: nominal rate of the device.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._first_s: float | None = None
        self._last_s = 0.0
        self._came_s = 0.0
        self._lost_s = 0.0
        self._floor_s = 0.0
        self._doubted_s: float | None = None
        self._steady_since_s = 0.0
        self._lowest_s = 0.0
        self._settled: tuple[float, float] | None = None

    @property
    def is_doubtful(self) -> bool:
        """Whether sound is missing that may still come."""
        return self._doubted_s is not None

    @property
    def drift_ppm(self) -> float | None:
        """How much faster than nominal the device samples, in millionths; None in its first minute."""
        if self._settled is None or self._last_s - self._settled[0] < MIN_DRIFT_S:
            return None
        since_s, floor_s = self._settled
        return -1e6 * (self._floor_s - floor_s) / (self._last_s - since_s)

    def observe(self, read_s: float, n_frames: int, n_pending_frames: int) -> float:
        """Take note of a block.

        Args:
            read_s: monotonic time when it was read.
            n_frames: its length.
            n_pending_frames: what waits in the driver.

        Returns:
            Seconds of sound that are known to be lost now; 0.0 for none.
        """
        if self._first_s is None:
            self._first_s = self._last_s = read_s
            self._came_s = -n_pending_frames / self._rate_hz
            return 0.0
        self._came_s += n_frames / self._rate_hz
        deficit_s = (read_s - self._first_s) - self._came_s - n_pending_frames / self._rate_hz - self._lost_s
        self._floor_s = min(deficit_s, self._floor_s + MAX_DRIFT * (read_s - self._last_s))
        self._last_s = read_s
        if self._settled is None and read_s - self._first_s >= SETTLING_S:
            self._settled = (read_s, self._floor_s)
        return self._judge(deficit_s - self._floor_s)

    def forgive(self, lost_s: float) -> None:
        """What is already known to be lost is not found again."""
        self._lost_s += lost_s

    def _judge(self, missing_s: float) -> float:
        now_s = self._last_s
        if missing_s <= DOUBT_S:
            self._doubted_s = None
            return 0.0
        if self._doubted_s is None:
            self._doubted_s = now_s
            self._begin_steady(missing_s)
        if not self._lowest_s - STEADY_RANGE_S <= missing_s <= self._lowest_s + STEADY_RANGE_S:
            self._begin_steady(missing_s)
        self._lowest_s = min(self._lowest_s, missing_s)
        if now_s - self._steady_since_s < STEADY_S and now_s - self._doubted_s < MAX_DOUBT_S:
            return 0.0
        self._doubted_s = None
        self._lost_s += self._lowest_s
        return self._lowest_s

    def _begin_steady(self, missing_s: float) -> None:
        self._steady_since_s = self._last_s
        self._lowest_s = missing_s
