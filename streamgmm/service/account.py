"""Sample accounting of a run: captured = analysed + lost + in flight, at any moment."""

from __future__ import annotations

from typing import NamedTuple

from streamgmm import units
from streamgmm.audio.ring import Ring
from streamgmm.records import Bye, Heartbeat
from streamgmm.service.worker import Worker


class Balance(NamedTuple):
    """Sample counts of a run so far, at the model's rate.

    Attributes:
        captured_samples: received from the source.
        analysed_samples: passed through feature extraction.
        lost_samples: captured, but lost before they were analysed.
        source_lost_samples: lost before they were captured; in no other count.
    """

    captured_samples: int
    analysed_samples: int
    lost_samples: int
    source_lost_samples: int

    @property
    def in_flight_samples(self) -> int:
        """Samples that are still in the ring, or in a hop that is not complete."""
        return self.captured_samples - self.lost_samples - self.analysed_samples


class Account:
    """Read-only view of the counters of a run.

    Args:
        ring: receives the captured samples.
        worker: analyses them.
        sample_rate_hz: sample rate of both.
    """

    def __init__(self, ring: Ring, worker: Worker, sample_rate_hz: int) -> None:
        self._ring = ring
        self._worker = worker
        self._sample_rate_hz = sample_rate_hz

    @property
    def balance(self) -> Balance:
        """Sample counts at this moment."""
        counts = self._ring.counts
        return Balance(
            captured_samples=counts.captured_samples,
            analysed_samples=self._worker.pipeline.analyser.analysed_samples,
            lost_samples=counts.lost_samples + self._worker.failed_samples,
            source_lost_samples=counts.source_lost_samples,
        )

    @property
    def lost_by_reason(self) -> dict[str, int]:
        """Number of lost samples by reason, whether lost before or after capture."""
        failed_samples = self._worker.failed_samples
        losses = {str(reason): n_samples for reason, n_samples in self._ring.lost_samples.items()}
        return losses | {"worker_error": failed_samples} if failed_samples else losses

    @property
    def analysed_s(self) -> float:
        """Stream time after the last finished hop (s)."""
        return self._to_seconds(self._worker.pipeline.analyser.end_sample)

    def make_heartbeat(self) -> Heartbeat:
        """Return a heartbeat record with the current counters."""
        balance = self.balance
        return Heartbeat(
            t=self.analysed_s,
            captured_samples=balance.captured_samples,
            analysed_samples=balance.analysed_samples,
            lost_samples=balance.lost_samples,
        )

    def make_bye(self, reason: str) -> Bye:
        """Return the last record of the run, with `reason` as the reason why it ends."""
        balance = self.balance
        return Bye(
            t=self.analysed_s,
            reason=reason,
            captured_samples=balance.captured_samples,
            analysed_samples=balance.analysed_samples,
            lost_samples=balance.lost_samples,
            in_flight_samples=balance.in_flight_samples,
        )

    def _to_seconds(self, n_samples: int) -> float:
        return units.samples_to_seconds(n_samples, self._sample_rate_hz)
