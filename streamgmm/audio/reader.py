"""Recording reader: read recordings of any length block by block, in constant memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from streamgmm import units
from streamgmm.arrays import Float32Array, Samples
from streamgmm.audio.channels import ChannelChoice, MixLoss, MixMeter, has_channel, to_mono
from streamgmm.audio.decoding import PartDecoder, check_peak
from streamgmm.audio.formats.parts import Parts, find_parts
from streamgmm.audio.formats.riff import find_zero_field
from streamgmm.audio.formats.view import FileBytes, Part
from streamgmm.audio.recording_error import RecordingError, refuse
from streamgmm.audio.regular import open_regular
from streamgmm.audio.resample import Resampler

MIN_RATE_HZ, MAX_RATE_HZ = 1000, 384000
"""Range of accepted sample rates: from a lower one, resampling would turn a small file into gigabytes."""

BLOCK_S = 0.1
"""Length of a block (s). The overhead of a call equals decoding some 20 ms, and a longer block would delay a recording
that is played live."""


MAX_BLOCKS_AHEAD = 8
"""Most blocks that are decoded by one call, for uncompressed files, whose samples do not depend on its length."""


def open_recording(
    path: str | Path, *, channel: ChannelChoice = "mean", follow_symlinks: bool = False
) -> RecordingReader:
    """Open a recording of any length to read it block by block; for parameters and errors, see `read_recording`.

    Size and length are not limited, and NaN and infinities are not rejected.
    """
    return RecordingReader(path, channel, follow_symlinks, sys.maxsize)


class RecordingReader:
    """Read a recording block by block, in constant memory; an iterator and a context manager.

    Made by `open_recording`. All blocks except the last of a part are `BLOCK_S` long, so that every reader of a
    file gets the same bits: the rounding of lossy decoders depends on the block length. Later parts (concatenated
    files, links of a chain) are resampled to the rate of the first.

    Attributes:
        where: name of the file, for messages.
        n_file_bytes: length of the file.
        sample_rate_hz: sample rate of the first part, and of all samples returned.
        n_channels: number of channels of the first part.
        warnings: problems found so far; complete when the last block was read.
    """

    def __init__(self, path: str | Path, channel: ChannelChoice, follow_symlinks: bool, max_file_bytes: int) -> None:
        self.where = str(path)
        self.warnings: list[str] = []
        self._channel: ChannelChoice = channel
        self._mix = MixMeter()
        self._n_read = 0
        with ExitStack() as resources:
            self._fd = open_regular(Path(path), follow_symlinks, max_file_bytes)
            resources.callback(os.close, self._fd)
            self._resources = resources
            # If anything below fails, the stack closes the decoder and then the descriptor.
            parts = self._find_parts(Path(path))
            first = self._open_part(parts.parts[0])
            self.sample_rate_hz, self.n_channels = first.sample_rate_hz, first.n_channels
            if not parts.is_judged and first.is_shortened:
                self._warn("truncated: the header promises more than the file holds")
            self._rest = parts.parts[1:]
            self._first = first
            # A generator: nothing is decoded before the first `read`.
            self._blocks = self._decode()
            self._resources = resources.pop_all()

    def __enter__(self) -> RecordingReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Samples]:
        while (samples := self.read()).size:
            yield samples

    def read(self) -> Samples:
        """Read the next `BLOCK_S` seconds: float32, shape (n,); fewer samples at the end of a part, none at the end.

        Raises:
            RecordingError: nothing in the file can be decoded.
        """
        return next(self._blocks, np.zeros(0, np.float32))

    @property
    def claimed_s(self) -> float:
        """Return the length by the header (s), 0.0 if unknown; the decoded length may differ."""
        return (self._first.n_claimed or 0) / self.sample_rate_hz

    @property
    def is_length_certain(self) -> bool:
        """Return whether `claimed_s` is exactly the length that can be decoded."""
        return self._first.is_uncompressed and not self._rest

    @property
    def is_length_known(self) -> bool:
        """Return whether `claimed_s` is an upper limit of the length that can be decoded."""
        return self._first.n_claimed is not None and not self._rest

    @property
    def mix_loss(self) -> MixLoss | None:
        """Return the loss of the mean of the channels; complete when the last block was read."""
        return self._mix.loss()

    def close(self) -> None:
        """Close the file; may be called more than once."""
        self._resources.close()

    def _find_parts(self, path: Path) -> Parts:
        file = FileBytes(self._fd)
        self.n_file_bytes = file.size
        try:
            # libsndfile rejects such a header too, but does not always name the field.
            field = find_zero_field(file)
            parts = find_parts(file)
        except OSError as error:
            refuse(error, path)
        if field:
            raise RecordingError(f"the header says that {field} is 0", reason="bad_header", where=self.where)
        if parts.refusal:
            raise RecordingError(parts.refusal.what, reason="not_audio", where=self.where, hint=parts.refusal.hint)
        for warning in parts.warnings:
            self._warn(warning)
        return parts

    def _open_part(self, part: Part) -> PartDecoder:
        decoder = PartDecoder(self._fd, part, self.where)
        self._resources.callback(decoder.close)
        self._check(decoder)
        # A second decoder scans the whole part first: samples out of range must be rejected before any is used.
        peak = decoder.peak(self._fd)
        if peak and (warning := check_peak(peak, self.where)):
            self._warn(warning)
        return decoder

    def _check(self, decoder: PartDecoder) -> None:
        rate_hz = decoder.sample_rate_hz
        if not has_channel(decoder.n_channels, self._channel):
            what = f"there is no channel {self._channel} among {decoder.n_channels}"
            raise RecordingError(what, reason="no_such_channel", where=self.where, hint="channels count from 0")
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            what = f"the header says {rate_hz} Hz, which is not {MIN_RATE_HZ} to {MAX_RATE_HZ}"
            raise RecordingError(what, reason="bad_header", where=self.where)
        if decoder.n_claimed == 0:
            raise RecordingError("holds no samples", reason="empty", where=self.where)

    def _decode(self) -> Iterator[Samples]:
        yield from self._part_blocks(self._first)
        for number, part in enumerate(self._rest, 2):
            try:
                decoder = self._open_part(part)
            except RecordingError as error:
                # The first part is good: a later one that is damaged is only reported.
                n_bytes = part.stop - part.start
                self._warn(f"part {number} of {len(self._rest) + 1}, of {n_bytes} bytes, was left out: {error.what}")
                continue
            yield from self._part_blocks(decoder)
        if self._n_read == 0:
            raise RecordingError("nothing in it can be decoded", reason="undecodable", where=self.where)

    def _part_blocks(self, decoder: PartDecoder) -> Iterator[Samples]:
        # One for each part: rates may differ, and the filter must not mix the end of one recording with the next.
        resampler = Resampler(decoder.sample_rate_hz, self.sample_rate_hz)
        n_block = units.seconds_to_samples(BLOCK_S, decoder.sample_rate_hz)
        for frames in _blocks_of(decoder, n_block):
            samples = resampler.push(self._mixed(frames), last=not len(frames))
            self._n_read += samples.size
            if samples.size:
                yield samples
        # Not only with the reader: a chain may have thousands of parts, each with a handle of libsndfile.
        decoder.close()
        for warning in decoder.warnings:
            self._warn(warning)

    def _mixed(self, frames: Float32Array) -> Samples:
        if self._channel == "mean":
            self._mix.observe(frames)
        return to_mono(frames, self._channel)

    def _warn(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)


def _blocks_of(decoder: PartDecoder, n_block: int) -> Iterator[Float32Array]:
    """Yield blocks of up to `n_block` frames, shape (n, n_channels), the last one without frames."""
    n_ahead = MAX_BLOCKS_AHEAD if decoder.is_uncompressed else 1
    while len(frames := decoder.read(n_ahead * n_block)):
        yield from (frames[first : first + n_block] for first in range(0, len(frames), n_block))
    yield frames
