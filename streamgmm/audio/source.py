"""What every source of samples is: a microphone, a file and a pipe all look like this."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from streamgmm.arrays import Samples
from streamgmm.records import GapReason

MAX_PEAK = 16.0
"""Largest sample of a recording or stream of floats: 24 dB over full scale are more than any mixing desk leaves."""


class Block(NamedTuple):
    """What a source delivers at once.

    Attributes:
        samples: float32, shape (n,), mono, full scale 1.0, at the rate given to `open`.
        lost_samples: how many samples are missing just before these, at the same rate.
        gap_reason: why they are missing; None when none are.
    """

    samples: Samples
    lost_samples: int = 0
    gap_reason: GapReason | None = None


class Vitals(NamedTuple):
    """The condition of an open source.

    Attributes:
        description: its name for people, e.g. with the device behind it.
        heard_until_s: monotonic time when the last sample that was delivered reached the driver (s); None where
            delivery is all that is known.
        drift_ppm: how much faster than nominal it samples (millionths); None where that is not known.
    """

    description: str
    heard_until_s: float | None = None
    drift_ppm: float | None = None


class Source(Protocol):
    """A stream of mono blocks at one rate.

    Attributes:
        name: what records call it: its URI as configured, e.g. `mic` or `file:sounds/door.wav`.
        is_live: True if the sound goes on whether or not anybody reads: a full ring then loses its
            oldest samples. Otherwise the writer waits for room and nothing is ever lost.
    """

    name: str
    is_live: bool

    def open(self, sample_rate_hz: int) -> None:
        """Start delivering at `sample_rate_hz`.

        Raises:
            StreamgmmError: the source is missing or unusable.
        """

    def read(self) -> Block | None:
        """Wait for the next block; None at the end, or soon after `close`.

        Raises:
            StreamgmmError: the source failed.
        """

    def vitals(self) -> Vitals:
        """Return its condition; from any thread, also before `open`."""

    def close(self) -> None:
        """Stop; may be called from any thread, more than once, and also before `open`."""
