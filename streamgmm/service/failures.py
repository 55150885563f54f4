"""A budget for unexpected exceptions: log each, survive a few, give up if they keep coming."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

MAX_FAILURES = 5
PERIOD_S = 60.0


class FailureBudget:
    """Count failures, and raise the first one that exceeds the budget.

    Args:
        clock: monotonic time (s).

    Attributes:
        n_failures: number of failures so far.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.n_failures = 0
        self._clock = clock
        # One more than allowed: with a full deque, the oldest time shows whether all failures fell into the period.
        self._times_s: deque[float] = deque(maxlen=MAX_FAILURES + 1)

    def spend(self, error: Exception) -> None:
        """Count one failure.

        Raises:
            Exception: `error` itself, if it exceeds `MAX_FAILURES` within `PERIOD_S` seconds.
        """
        self.n_failures += 1
        self._times_s.append(self._clock())
        if len(self._times_s) > MAX_FAILURES and self._times_s[-1] - self._times_s[0] <= PERIOD_S:
            raise error
