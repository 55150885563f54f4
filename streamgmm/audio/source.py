"""Source protocol: the interface that microphones, files, pipes and sockets implement."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from streamgmm.arrays import Samples
from streamgmm.records import GapReason

MAX_PEAK = 16.0
"""Largest accepted magnitude of floating-point samples: 24 dB above full scale, more than mixing desks need."""


class Block(NamedTuple):
    """Block of samples from a source.

    Attributes:
        samples: float32, shape (n,), mono, full scale 1.0, at the rate given to `open`.
        lost_samples: number of samples missing just before these, at the same rate.
        gap_reason: reason why they are missing; None if none are.
    """

    samples: Samples
    lost_samples: int = 0
    gap_reason: GapReason | None = None


class Vitals(NamedTuple):
    """Condition of a source.

    Attributes:
        description: name for people, e.g. with the device behind the source.
        heard_until_s: monotonic time when the last delivered sample reached the driver (s); None if only the time
            of delivery is known.
        drift_ppm: deviation of the sample rate from nominal (ppm), positive if fast; None if unknown.
    """

    description: str
    heard_until_s: float | None = None
    drift_ppm: float | None = None


class Source(Protocol):
    """Stream of mono blocks at one sample rate.

    Attributes:
        name: name in records: the URI as configured, e.g. `mic` or `file:sounds/door.wav`.
        is_live: True if sound keeps coming while no thread reads, so that a full ring loses its oldest
            samples. Otherwise the writer waits for room, and nothing is lost.
    """

    name: str
    is_live: bool

    def open(self, sample_rate_hz: int, block_samples: int | None = None) -> None:
        """Start delivering at `sample_rate_hz`.

        Args:
            sample_rate_hz: rate of the blocks.
            block_samples: length in which sound is needed, for a source that can wait for it: shorter blocks are of no
                use to the reader, but wake it. None for as short as the source can.

        Raises:
            StreamgmmError: the source is missing or unusable.
        """

    def read(self) -> Block | None:
        """Wait for the next block and return it; None at the end, or soon after `close`.

        Raises:
            StreamgmmError: the source failed.
        """

    def vitals(self) -> Vitals:
        """Return the condition of the source; may be called from any thread, also before `open`."""

    def close(self) -> None:
        """Stop, and wake a waiting `read`; may be called from any thread, more than once, and before `open`."""
