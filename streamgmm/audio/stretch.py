"""What a reader of a ring gets, and what the ring counts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Samples
from streamgmm.records import GapReason

NO_SAMPLES: Samples = np.zeros(0, np.float32)
# All empty stretches share this array.
NO_SAMPLES.flags.writeable = False


class Stretch(NamedTuple):
    """Result of one read: either samples or one loss.

    Attributes:
        start_index: number of samples captured before these; samples that the source itself lost are not
            counted.
        samples: float32, shape (n,), a copy for the reader; empty for a loss or after a timeout.
        lost_samples: number of samples missing between the stretch before and the one after.
        gap_reason: reason of the loss; None if this is not a loss.
    """

    start_index: int
    samples: Samples
    lost_samples: int = 0
    gap_reason: GapReason | None = None


class RingCounts(NamedTuple):
    """Counters of samples: captured = read + lost + in flight, exactly, in every snapshot.

    Attributes:
        captured_samples: samples written into the ring.
        read_samples: samples returned to the reader.
        lost_samples: samples overwritten or skipped before they were read.
        in_flight_samples: samples that wait for the reader.
        source_lost_samples: samples reported by `write_gap`, which never reached the ring and are in no other count.
    """

    captured_samples: int
    read_samples: int
    lost_samples: int
    in_flight_samples: int
    source_lost_samples: int
