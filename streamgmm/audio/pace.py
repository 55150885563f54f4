"""The pace of a live stream that comes over a network: held back if too fast, missed if too slow."""

from __future__ import annotations

BURST_S = 8.0
"""Sound that may come at once: what FFmpeg or a radio server gives at the start, or a stalled network held back."""

MAX_DRIFT = 0.01
"""Clocks of two sound cards differ by less, relative to real time: a stream that is off by more is no live one."""


class Pace:
    """Compares the sound of a live stream with the time that passed.

    Args:
        limit_s: how much sound may be missing for how long before the stream counts as starved.

    Attributes:
        behind_s: sound that should have come by now, and has not (s).
    """

    def __init__(self, limit_s: float) -> None:
        self.behind_s = 0.0
        self._limit_s = limit_s
        self._ahead_s = 0.0
        self._last_s: float | None = None
        self._late_since_s: float | None = None

    def advance(self, now_s: float, duration_s: float) -> float:
        """Count `duration_s` of sound that came, and return for how long to read no more (s).

        A sender that floods has to wait then: a pipe or a socket fills up, not the memory of this process.
        """
        if self._last_s is not None:
            elapsed_s = now_s - self._last_s
            # Both forget slowly, or the difference of two clocks would add up over days.
            self._ahead_s = max(0.0, self._ahead_s - (1.0 + MAX_DRIFT) * elapsed_s)
            self.behind_s = max(0.0, self.behind_s + (1.0 - MAX_DRIFT) * elapsed_s - duration_s)
        self._last_s = now_s
        self._ahead_s += duration_s
        if self.behind_s < self._limit_s:
            self._late_since_s = None
        elif self._late_since_s is None:
            self._late_since_s = now_s
        return max(0.0, self._ahead_s - BURST_S) / (1.0 + MAX_DRIFT)

    @property
    def is_starved(self) -> bool:
        """Whether sound has been missing for so long that it will not come: a pause of this machine passes."""
        late_s, now_s = self._late_since_s, self._last_s
        return late_s is not None and now_s is not None and now_s - late_s >= self._limit_s

    @property
    def heard_until_s(self) -> float | None:
        """When the last sound that came was recorded, at the latest; None before the first."""
        return None if self._last_s is None else self._last_s - self.behind_s
