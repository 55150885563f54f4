"""What is worth to be kept of a take, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from streamgmm.recording.takes import INTERVAL_S, OFFSET_DB, Take, interval_levels
from streamgmm.units import SILENCE_DBFS, seconds_to_samples

LEAD_S = 0.2
"""Audio that is kept before a sound (s)."""

TAIL_S = 0.4
"""Audio that is kept after a sound (s): it dies away for longer than it stands out."""

QUIET_DB = 15.0
"""A sound that stands out by less than this (dB) is hard to learn."""

CLIPPED = 0.999
_MIN_CLIPPED_SAMPLES = 3


class Trim(NamedTuple):
    """The part of a take that holds its sound, in samples."""

    begin_sample: int
    end_sample: int

    def describe(self, take: Take) -> str:
        """Return the part in seconds."""
        begin_s, end_s = self.begin_sample / take.sample_rate_hz, self.end_sample / take.sample_rate_hz
        return f"{begin_s:.2f} to {end_s:.2f} s of {take.duration_s:.2f} s"


def propose_trim(take: Take) -> Trim | None:
    """Return the part of a take from its first to its last interval above the noise floor, with some room around.

    None if nothing stands out, or all of it is needed.
    """
    is_loud = interval_levels(take.samples, take.sample_rate_hz) >= take.floor_dbfs + OFFSET_DB
    if not is_loud.any():
        return None
    first, last = np.flatnonzero(is_loud)[[0, -1]].tolist()
    n_interval = seconds_to_samples(INTERVAL_S, take.sample_rate_hz)
    begin = max(0, first * n_interval - seconds_to_samples(LEAD_S, take.sample_rate_hz))
    end = min(len(take.samples), (last + 1) * n_interval + seconds_to_samples(TAIL_S, take.sample_rate_hz))
    return Trim(begin, end) if end - begin < len(take.samples) else None


def trimmed(take: Take, trim: Trim | None) -> Take:
    """Return the proposed part of a take; all of it if there is no proposal."""
    return take if trim is None else take._replace(samples=take.samples[trim.begin_sample : trim.end_sample])


def warnings_of(take: Take, *, is_room: bool = False) -> Iterator[str]:
    """Yield what is wrong with a take, each with the remedy.

    Args:
        take: the whole take.
        is_room: whether it is meant to hold the room alone, from which nothing has to stand out.
    """
    levels = interval_levels(take.samples, take.sample_rate_hz)
    if not len(levels) or levels.max() <= SILENCE_DBFS:
        yield "exact silence: is the microphone muted, or not connected?"
        return
    n_clipped = int(np.count_nonzero(np.abs(take.samples) >= CLIPPED))
    if n_clipped >= _MIN_CLIPPED_SAMPLES:
        yield f"clipping ({n_clipped} samples): lower the gain of the microphone, or go further away"
    above_db = levels.max() - take.floor_dbfs
    if not is_room and above_db < QUIET_DB:
        yield f"too quiet: only {max(0.0, above_db):.0f} dB above the room; go nearer, or raise the gain"
    if take.lost_samples:
        yield f"the microphone lost {take.lost_samples / take.sample_rate_hz:.2f} s of audio within it"
