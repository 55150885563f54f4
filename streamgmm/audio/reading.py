"""Reading of recordings from untrusted files.

A file may have any name and content. Only regular files are opened, no memory is allocated by a size in a
header, and checks and reads use the same descriptor, so that the file cannot be exchanged in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamgmm import units
from streamgmm.arrays import Samples
from streamgmm.audio.channels import ChannelChoice
from streamgmm.audio.reader import RecordingReader, open_recording
from streamgmm.audio.recording_error import (
    RecordingDeniedError,
    RecordingError,
    RecordingMissingError,
    RecordingReason,
)
from streamgmm.audio.regular import MAX_FILE_BYTES

__all__ = [
    "MAX_DURATION_S",
    "MAX_FILE_BYTES",
    "Recording",
    "RecordingDeniedError",
    "RecordingError",
    "RecordingMissingError",
    "RecordingReader",
    "RecordingReason",
    "checked_blocks",
    "measure_s",
    "open_recording",
    "open_whole_recording",
    "read_recording",
]

MAX_DURATION_S = 3600.0
"""Longest recording that is read whole, at up to 48 kHz (s); a small file can contain days of silence."""

MAX_EXPANSION = 500
"""Largest ratio of the bytes of the samples to those of the file, above `MIN_EXPANDED_BYTES`.

The most efficient speech codec expands 1 byte to 250; a ratio of 1000 or more occurs only for silence.
"""

# So much memory is harmless, whatever the ratio.
MIN_EXPANDED_BYTES = 16 * 2**20

_SAMPLE_BYTES = 4


class Recording(NamedTuple):
    """Complete recording.

    Attributes:
        samples: float32, shape (n,), mono, finite, full scale 1.0.
        sample_rate_hz: sample rate of the file.
        n_channels: number of channels in the file.
        warnings: problems that did not prevent reading.
    """

    samples: Samples
    sample_rate_hz: int
    n_channels: int
    warnings: tuple[str, ...]


def read_recording(path: str | Path, *, channel: ChannelChoice = "mean", follow_symlinks: bool = False) -> Recording:
    """Read a recording of any format that libsndfile supports, whatever its name, and reject unusable content.

    Args:
        path: path of the file.
        channel: index of one channel (from 0), or the mean of all.
        follow_symlinks: False to reject a symbolic link.

    Raises:
        RecordingError: the recording is unusable; its `reason` is the cause.
    """
    with open_whole_recording(path, channel=channel, follow_symlinks=follow_symlinks) as reader:
        samples = np.concatenate(list(checked_blocks(reader)))
        return Recording(samples, reader.sample_rate_hz, reader.n_channels, tuple(reader.warnings))


def checked_blocks(reader: RecordingReader) -> Iterator[Samples]:
    """Yield the blocks of a recording, and check that they are finite and not too many.

    Raises:
        RecordingError: a sample is not finite, or the recording is too long.
    """
    # The limit bounds memory, so above 48 kHz it no longer grows with the rate: 0.7 GB of float32.
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
    path: str | Path, *, channel: ChannelChoice = "mean", follow_symlinks: bool = False
) -> RecordingReader:
    """Open a recording of limited size, to be read through `checked_blocks`; otherwise like `open_recording`.

    Raises:
        RecordingError: the recording is unusable, or a small file that would fill the memory with silence.
    """
    reader = RecordingReader(path, channel, follow_symlinks, MAX_FILE_BYTES)
    max_bytes = max(MIN_EXPANDED_BYTES, MAX_EXPANSION * reader.n_file_bytes)
    # The samples are mono when they are kept, however many channels the file has.
    max_s = max_bytes / (_SAMPLE_BYTES * reader.sample_rate_hz)
    if reader.is_length_known and reader.claimed_s <= max_s:
        return reader
    # Decode it once without keeping the samples: only that shows the true length.
    try:
        if _is_longer(path, max_s, follow_symlinks):
            what = f"{reader.n_file_bytes} bytes hold more than {max_s:.0f} s of sound, which must be silence"
            raise RecordingError(what, reason="too_long", where=reader.where, hint="cut it into parts")
    except RecordingError:
        reader.close()
        raise
    return reader


def _is_longer(path: str | Path, max_s: float, follow_symlinks: bool) -> bool:
    """Return whether a recording lasts longer than `max_s`, by decoding it, because its header may be wrong."""
    with open_recording(path, follow_symlinks=follow_symlinks) as reader:
        # The mean of the channels, the default, is as long as each of them: `channel` does not matter here.
        length_s = 0.0
        for block in reader:
            length_s += block.size / reader.sample_rate_hz
            if length_s > max_s:
                return True
    return False


def measure_s(path: str | Path, *, follow_symlinks: bool = False) -> float:
    """Measure the length of a recording (s), by decoding it unless the length follows from the number of bytes.

    Raises:
        RecordingError: the recording is unusable.
    """
    with open_recording(path, follow_symlinks=follow_symlinks) as reader:
        if reader.is_length_certain:
            return reader.claimed_s
        return sum(block.size for block in reader) / reader.sample_rate_hz
