"""Interleaved rounds: all work is measured once per round, so that the load of the machine affects all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from streamgmm.arrays import Float64Array
from streamgmm.training.workers import ProgressTracker


class Work(NamedTuple):
    """A piece of work that is measured.

    Attributes:
        audio_s: duration of the sound that it processes (s).
        run: does the work once; the result is dropped.
    """

    audio_s: float
    run: Callable[[], object]


@dataclass(frozen=True)
class Timings:
    """CPU time of each piece of work, by name.

    Attributes:
        rounds: float64, shape (n_rounds,) each, CPU seconds of all threads per second of sound.
    """

    rounds: Mapping[str, Float64Array]

    def cost(self, name: str) -> float:
        """Return the median CPU time per second of sound (s)."""
        return float(np.median(self.rounds[name]))

    def times_real_time(self, name: str) -> float:
        """Return the seconds of sound that one core processes in a second."""
        return 1.0 / self.cost(name)

    def ratio(self, name: str, peer: str) -> float:
        """Return how many times as long `peer` takes as `name`: the median of the ratios within each round."""
        return float(np.median(self.rounds[peer] / self.rounds[name]))


def measure(works: Mapping[str, Work], n_rounds: int, track: ProgressTracker) -> Timings:
    """Run all works on one thread, first once without measuring, then in `n_rounds` interleaved rounds.

    Args:
        works: pieces of work by name.
        n_rounds: number of measured rounds.
        track: shows the progress.
    """
    # The first round fills caches, and compiles the functions of libraries that do so when they are first called.
    order = [name for round_ in range(n_rounds + 1) for name in _rotated(list(works), round_)]
    costs: dict[str, list[float]] = {name: [] for name in works}
    with threadpool_limits(1):
        for name in track(order, "measuring", len(order)):
            started_s = time.process_time()
            works[name].run()
            costs[name].append((time.process_time() - started_s) / works[name].audio_s)
    return Timings({name: np.array(values[1:]) for name, values in costs.items()})


def _rotated(names: Sequence[str], n_places: int) -> Sequence[str]:
    """Begin each round elsewhere: what a piece of work leaves in the caches would always help the same successor."""
    first = n_places % len(names)
    return [*names[first:], *names[:first]]
