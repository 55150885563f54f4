"""Pace of a live stream from a network: delay one that is too fast, detect one that is too slow."""

from __future__ import annotations

BURST_S = 8.0
"""Longest burst of sound that is accepted without delay (s): FFmpeg or a radio server sends one at the start, and a
network after a stall."""

MAX_DRIFT = 0.01
"""Largest difference of a live stream's rate from real time (dimensionless): clocks of sound cards differ by less."""


class Pace:
    """Compare the duration of the sound of a live stream with the elapsed time.

    Args:
        limit_s: the stream counts as starved when at least this much sound has been missing for at least this long (s).

    Attributes:
        behind_s: duration of the sound that should have come by now and has not (s).
    """

    def __init__(self, limit_s: float) -> None:
        self.behind_s = 0.0
        self._limit_s = limit_s
        self._ahead_s = 0.0
        self._last_s: float | None = None
        self._late_since_s: float | None = None

    def advance(self, now_s: float, duration_s: float) -> float:
        """Count `duration_s` of received sound, and return how long to wait before the next read (s).

        The wait blocks a sender that is too fast: its pipe or socket fills up instead of the memory of this process.
        """
        if self._last_s is not None:
            elapsed_s = now_s - self._last_s
            # Both decay slowly, else the difference between two clocks would accumulate over days.
            self._ahead_s = max(0.0, self._ahead_s - (1.0 + MAX_DRIFT) * elapsed_s)
            self.behind_s = max(0.0, self.behind_s + (1.0 - MAX_DRIFT) * elapsed_s - duration_s)
        self._last_s = now_s
        self._ahead_s += duration_s
        # The deficit must last, because after a pause of this machine the missing sound comes in a burst.
        if self.behind_s < self._limit_s:
            self._late_since_s = None
        elif self._late_since_s is None:
            self._late_since_s = now_s
        # While it waits, the lead decreases by 1 + MAX_DRIFT per second.
        return max(0.0, self._ahead_s - BURST_S) / (1.0 + MAX_DRIFT)

    @property
    def is_starved(self) -> bool:
        """Return whether sound has been missing for `limit_s`; after a pause of this machine, it comes sooner."""
        late_s, now_s = self._late_since_s, self._last_s
        return late_s is not None and now_s is not None and now_s - late_s >= self._limit_s

    @property
    def heard_until_s(self) -> float | None:
        """Return the latest monotonic time when the last sound can have been recorded (s); None before any sound."""
        return None if self._last_s is None else self._last_s - self.behind_s
