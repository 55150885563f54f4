"""Overload: detect that the machine is too slow for the stream, and decide which samples to skip.

An overload begins when more than half of the ring waits to be analysed. All whole hops that wait are skipped then,
and again whenever more than `TOLERATED_S` waits, so that decisions never lag behind by more than that. The samples
in between are analysed without gaps. The overload ends when the worker has kept up, with less than `KEPT_UP_S`
waiting, through `CALM_S` of audio.

A burst does not cause an overload: half of the ring is 15 s by default, and a worker that is fast enough drains it.
"""

from __future__ import annotations

from streamgmm import units

TOLERATED_S = 2.0
KEPT_UP_S = 0.5
CALM_S = 1.0


class Overload:
    """Detect an overload from the number of samples that wait in the ring.

    Args:
        hop_samples: length of a hop; only whole hops are skipped.
        capacity_samples: capacity of the ring.
        sample_rate_hz: rate of the samples.

    Attributes:
        is_overloaded: whether hops are being skipped.
    """

    def __init__(self, hop_samples: int, capacity_samples: int, sample_rate_hz: int) -> None:
        self.is_overloaded = False
        self._hop_samples = hop_samples
        self._limit_samples = capacity_samples // 2
        # The ring may hold less than twice these durations, e.g. at the lowest `source.ring_s`.
        self._tolerated_samples = min(self._limit_samples, units.seconds_to_samples(TOLERATED_S, sample_rate_hz))
        self._kept_up_samples = min(self._limit_samples, units.seconds_to_samples(KEPT_UP_S, sample_rate_hz))
        # Rounded up.
        self._calm_hops = -(-units.seconds_to_samples(CALM_S, sample_rate_hz) // hop_samples)
        self._n_kept_up_hops = 0

    def samples_to_skip(self, waiting_samples: int) -> int:
        """Return how many of the oldest samples to skip; call once per hop.

        Args:
            waiting_samples: number of samples that wait in the ring.
        """
        if waiting_samples > (self._tolerated_samples if self.is_overloaded else self._limit_samples):
            self.is_overloaded = True
            self._n_kept_up_hops = 0
            return waiting_samples // self._hop_samples * self._hop_samples
        if self.is_overloaded:
            self._n_kept_up_hops = self._n_kept_up_hops + 1 if waiting_samples <= self._kept_up_samples else 0
            self.is_overloaded = self._n_kept_up_hops < self._calm_hops
        return 0
