"""Recordings from files that nobody vouches for.

Any file of any name may be handed in. What is not a regular file is never opened, nothing is
allocated by what a header says, and what was checked is what is read: one descriptor serves for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamgmm import units
from streamgmm.arrays import Samples
from streamgmm.audio.channels import Channel
from streamgmm.audio.reader import RecordingReader, open_recording
from streamgmm.audio.recording_error import (
    Reason,
    RecordingDeniedError,
    RecordingError,
    RecordingMissingError,
)
from streamgmm.audio.regular import MAX_FILE_BYTES

__all__ = [
    "MAX_DURATION_S",
    "MAX_FILE_BYTES",
    "Reason",
    "Recording",
    "RecordingDeniedError",
    "RecordingError",
    "RecordingMissingError",
    "RecordingReader",
    "checked_blocks",
    "measure_s",
    "open_recording",
    "open_whole_recording",
    "read_recording",
]

MAX_DURATION_S = 3600.0
"""Longest recording that is read whole, at up to 48 kHz; a small file can hold days of silence."""

MAX_EXPANSION = 500
"""Samples of a recording take at most so many times the bytes of its file, above `MIN_EXPANDED_BYTES`.

The sparsest coding of speech makes 250 bytes of one; a thousand and more are silence.
"""

MIN_EXPANDED_BYTES = 16 * 2**20

_SAMPLE_BYTES = 4


class Recording(NamedTuple):
    """A recording read whole.

    Attributes:
        samples: float32, shape (n,), mono, finite, full scale 1.0.
        sample_rate_hz: rate of the samples, the file's own.
        n_channels: how many channels the file had.
        warnings: what was not as it should be, but could be used.
    """

    samples: Samples
    sample_rate_hz: int
    n_channels: int
    warnings: tuple[str, ...]


def read_recording(path: str | Path, *, channel: Channel = "mean", follow_symlinks: bool = False) -> Recording:
    """Read any recording that libsndfile knows, whatever its name; refuse what cannot be trusted.

    Args:
        path: the file.
        channel: which channel, or the mean of all.
        follow_symlinks: False refuses a symbolic link.

    Raises:
        RecordingError: it is unusable, with the reason.
    """
    with open_whole_recording(path, channel=channel, follow_symlinks=follow_symlinks) as reader:
        samples = np.concatenate(list(checked_blocks(reader)))
        return Recording(samples, reader.sample_rate_hz, reader.n_channels, tuple(reader.warnings))


def checked_blocks(reader: RecordingReader) -> Iterator[Samples]:
    """The blocks of a recording, as long as they are finite and not too many.

    Raises:
        RecordingError: they are not.
    """
    max_samples = units.seconds_to_samples(MAX_DURATION_S, min(reader.sample_rate_hz, 48000))
    n_samples = 0
    for samples in reader:
        n_samples += samples.size
        if n_samples > max_samples:
            what = f"more than {max_samples} samples are too many"
            raise RecordingError(what, reason="too_long", where=reader.where, hint="cut it into parts")
        if not np.isfinite(samples).all():
            what = f"NaN or infinity among samples {n_samples - samples.size} to {n_samples - 1}"
            raise RecordingError(what, reason="nonfinite", where=reader.where, hint="repair or remove it")
        yield samples


def open_whole_recording(
    path: str | Path, *, channel: Channel = "mean", follow_symlinks: bool = False
) -> RecordingReader:
    """Open a recording of limited size, of which `checked_blocks` are read; otherwise as `open_recording`.

    Raises:
        RecordingError: it is unusable, or a small file that would fill the memory with silence.
    """
    reader = RecordingReader(path, channel, follow_symlinks, MAX_FILE_BYTES)
    max_bytes = max(MIN_EXPANDED_BYTES, MAX_EXPANSION * reader.n_file_bytes)
    max_s = max_bytes / (_SAMPLE_BYTES * reader.sample_rate_hz)
    if reader.is_length_known and reader.claimed_s <= max_s:
        return reader
    try:
        if _is_longer(path, max_s, follow_symlinks):
            what = f"{reader.n_file_bytes} bytes hold more than {max_s:.0f} s of sound, which must be silence"
            raise RecordingError(what, reason="too_long", where=reader.where, hint="cut it into parts")
    except RecordingError:
        reader.close()
        raise
    return reader


def _is_longer(path: str | Path, max_s: float, follow_symlinks: bool) -> bool:
    """Whether a recording lasts longer than `max_s`; its header may know nothing, or lie."""
    with open_recording(path, follow_symlinks=follow_symlinks) as reader:
        length_s = 0.0
        for block in reader:
            length_s += block.size / reader.sample_rate_hz
            if length_s > max_s:
                return True
    return False


def measure_s(path: str | Path, *, follow_symlinks: bool = False) -> float:
    """Measure how long a recording is (s), by decoding it unless its length follows from its bytes.

    Raises:
        RecordingError: it is unusable.
    """
    with open_recording(path, follow_symlinks=follow_symlinks) as reader:
        if reader.is_length_certain:
            return reader.claimed_s
        return sum(block.size for block in reader) / reader.sample_rate_hz
