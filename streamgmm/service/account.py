"""Accounting of a source: captured = analysed + lost + in flight, at any moment, and the records that show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from streamgmm import units
from streamgmm.audio.ring import Ring
from streamgmm.records import Bye, Health, Heartbeat, Status
from streamgmm.service.capture import Capture
from streamgmm.service.greeting import model_info
from streamgmm.service.health import State
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
        # A difference, not a count of its own, so that the balance holds however the threads move on between two
        # readings.
        return self.captured_samples - self.lost_samples - self.analysed_samples


class Account:
    """Read-only view of the counters of a source.

    Args:
        ring: receives the captured samples.
        capture: reads them from the source.
        worker: analyses them.
        clock: monotonic time (s), from which the uptime counts.
    """

    def __init__(self, ring: Ring, capture: Capture, worker: Worker, clock: Callable[[], float]) -> None:
        self._ring = ring
        self._capture = capture
        self._worker = worker
        self._clock = clock
        self._started_s = clock()
        self._sample_rate_hz = worker.session.model.spec.sample_rate_hz

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
        # The ring has delivered these samples, so it counts them as read, not as lost.
        failed_samples = self._worker.failed_samples
        losses = {str(reason): n_samples for reason, n_samples in self._ring.lost_samples.items()}
        return losses | {"worker_error": failed_samples} if failed_samples else losses

    @property
    def analysed_s(self) -> float:
        """Stream time after the last finished hop (s)."""
        return units.samples_to_seconds(self._worker.pipeline.analyser.end_sample, self._sample_rate_hz)

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

    def make_status(self, state: State, detail: str, n_clients: int) -> Status:
        """Return a status record of `state` with the current health, for a run with `n_clients` subscribers."""
        worker, balance = self._worker, self.balance
        room = worker.pipeline.room
        health = Health(
            level_dbfs=_rounded(worker.signal.level_dbfs, 1),
            uptime_s=round(self._clock() - self._started_s, 3),
            captured_samples=balance.captured_samples,
            analysed_samples=balance.analysed_samples,
            in_flight_samples=balance.in_flight_samples,
            lost_samples=self.lost_by_reason,
            n_clipped_samples=worker.signal.n_clipped_samples,
            n_reopened=self._capture.n_reopened,
            n_failures=worker.failures.n_failures,
            n_clients=n_clients,
            rtf=_rounded(worker.rtf.value, 4),
            drift_ppm=_rounded(self._capture.drift_ppm, 1),
            model=model_info(worker.session.model),
            room_s=None if room is None else round(room.mixture.learnt_s, 1),
            room_weight=None if room is None else round(room.weight, 3),
        )
        return Status(t=self.analysed_s, state=state, detail=detail, health=health)


def _rounded(value: float | None, n_decimals: int) -> float | None:
    return None if value is None else round(value, n_decimals)
