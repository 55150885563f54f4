"""Flow measurement: detect samples that a driver lost without reporting it, and measure its clock drift.

A driver may lose seconds of sound without setting its overflow flag, so the duration of the received sound is
compared with the elapsed time. Missing sound may still come in a burst, e.g. after the machine was suspended;
only a persistent deficit is a loss.
"""

from __future__ import annotations

DOUBT_S = 0.1
"""Deficit up to which nothing is suspected (s): the delivery jitter of drivers, measured as 0.05 s, is below it."""

STEADY_S = 0.8
"""Time after which a steady deficit counts as a loss (s): a burst would have reduced it by then."""

STEADY_RANGE_S = 0.05
"""Largest change of a deficit that still counts as steady (s)."""

MAX_DOUBT_S = 3.0
"""Time after which an unsteady deficit counts as a loss too (s), because sound must not be held back forever."""

MAX_CLOCK_DRIFT = 500e-6
"""Largest drift of a sound card's clock (dimensionless). Real cards are within 300 ppm; a faster deficit is lost
sound."""

SETTLING_S = 10.0
MIN_DRIFT_S = 60.0
"""Shortest time of measurement before the drift is reported, after the first `SETTLING_S` (s)."""


class FlowMeter:
    """Compare the duration of the frames that a device delivered with the elapsed time.

    The deficit is the elapsed time minus the duration of the sound received or waiting in the driver. Its floor
    is its lower envelope, which may rise no faster than clocks drift: jitter and bursts raise the deficit
    temporarily, a loss permanently. Small losses (below `DOUBT_S`) are not detected.

    Args:
        rate_hz: nominal sample rate of the device.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._first_s: float | None = None
        self._last_s = 0.0
        # Durations of the sound received and of the sound reported as lost, and the lower envelope of the deficit.
        self._came_s = 0.0
        self._lost_s = 0.0
        self._floor_s = 0.0
        # The present doubt: since when sound is missing and the deficit is steady, and its lowest value since then.
        self._doubted_s: float | None = None
        self._steady_since_s = 0.0
        self._lowest_s = 0.0
        # Time and floor `SETTLING_S` after the first block, from which the drift is measured.
        self._settled: tuple[float, float] | None = None

    @property
    def is_doubtful(self) -> bool:
        """Return whether sound is missing that may still come."""
        return self._doubted_s is not None

    @property
    def drift_ppm(self) -> float | None:
        """Return the deviation of the sample rate from nominal (ppm), positive if fast; None in the first minute."""
        if self._settled is None or self._last_s - self._settled[0] < MIN_DRIFT_S:
            return None
        # A fast clock delivers more sound than time passes, so that the floor falls: hence the sign.
        since_s, floor_s = self._settled
        return -1e6 * (self._floor_s - floor_s) / (self._last_s - since_s)

    def observe(self, read_s: float, n_frames: int, n_pending_frames: int) -> float:
        """Add a block to the measurement.

        Args:
            read_s: monotonic time when the block was read (s).
            n_frames: length of the block.
            n_pending_frames: frames that wait in the driver.

        Returns:
            Duration of sound that is found to be lost by now (s); 0.0 for none.
        """
        if self._first_s is None:
            # Frames that are pending now came before the clock started, so they must not count when they are read.
            self._first_s = self._last_s = read_s
            self._came_s = -n_pending_frames / self._rate_hz
            return 0.0
        self._came_s += n_frames / self._rate_hz
        deficit_s = (read_s - self._first_s) - self._came_s - n_pending_frames / self._rate_hz - self._lost_s
        # The floor follows a falling deficit at once, but a rising one only at the rate of clock drift.
        self._floor_s = min(deficit_s, self._floor_s + MAX_CLOCK_DRIFT * (read_s - self._last_s))
        self._last_s = read_s
        if self._settled is None and read_s - self._first_s >= SETTLING_S:
            self._settled = (read_s, self._floor_s)
        return self._judge(deficit_s - self._floor_s)

    def forgive(self, lost_s: float) -> None:
        """Exclude `lost_s` seconds of sound, which were already reported as lost, from the deficit."""
        self._lost_s += lost_s

    def _judge(self, missing_s: float) -> float:
        now_s = self._last_s
        if missing_s <= DOUBT_S:
            self._doubted_s = None
            return 0.0
        if self._doubted_s is None:
            self._doubted_s = now_s
            self._begin_steady(missing_s)
        # A burst lowers the deficit, and a further loss raises it: either starts the period of steadiness again.
        if not self._lowest_s - STEADY_RANGE_S <= missing_s <= self._lowest_s + STEADY_RANGE_S:
            self._begin_steady(missing_s)
        self._lowest_s = min(self._lowest_s, missing_s)
        if now_s - self._steady_since_s < STEADY_S and now_s - self._doubted_s < MAX_DOUBT_S:
            return 0.0
        # The lowest deficit while it was steady: the current one includes jitter.
        self._doubted_s = None
        # From now on the deficit is computed without this loss, so that it is reported once.
        self._lost_s += self._lowest_s
        return self._lowest_s

    def _begin_steady(self, missing_s: float) -> None:
        self._steady_since_s = self._last_s
        self._lowest_s = missing_s
