"""A recording read block by block, of any length and from any file, in constant memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from streamgmm import units
from streamgmm.arrays import Float32Array, Samples
from streamgmm.audio.channels import Channel, MixLoss, MixMeter, has_channel, to_mono
from streamgmm.audio.decoding import PartDecoder, check_peak
from streamgmm.audio.parts import Parts, find_parts
from streamgmm.audio.recording_error import RecordingError, refuse
from streamgmm.audio.regular import open_regular
from streamgmm.audio.resample import Resampler
from streamgmm.audio.riff import find_zero_field
from streamgmm.audio.view import FileBytes, Part

MIN_RATE_HZ, MAX_RATE_HZ = 1000, 384000
"""Sample rates that are believed: by a lower one, resampling would make gigabytes of a small file."""

BLOCK_S = 0.1
"""Read at once: a call costs as much as decoding some 20 ms, and a recording played live shall not wait for more."""


def open_recording(path: str | Path, *, channel: Channel = "mean", follow_symlinks: bool = False) -> RecordingReader:
    """Open a recording of any length to read it block by block; parameters and errors as of `read_recording`.

    Neither size nor length is limited here, and NaN and infinities are passed on.
    """
    return RecordingReader(path, channel, follow_symlinks, sys.maxsize)


class RecordingReader:
    """A recording read block by block, in constant memory; an iterator and a context manager.

    Made by `open_recording`. All blocks but the last of a part are `BLOCK_S` long, so that each reader of a
    file gets the same bits: lossy decoders round by block. Parts that follow the first (joined files, the
    links of a chain) are brought to its rate.

    Attributes:
        where: the file, for messages.
        n_file_bytes: length of the file.
        sample_rate_hz: rate of the samples, that of its first part.
        n_channels: how many channels its first part has.
        warnings: what was not as it should be; complete when the last block was read.
    """

    def __init__(self, path: str | Path, channel: Channel, follow_symlinks: bool, max_file_bytes: int) -> None:
        self.where = str(path)
        self.warnings: list[str] = []
        self._channel: Channel = channel
        self._mix = MixMeter()
        self._n_read = 0
        with ExitStack() as resources:
            self._fd = open_regular(Path(path), follow_symlinks, max_file_bytes)
            resources.callback(os.close, self._fd)
            self._resources = resources
            parts = self._find_parts(Path(path))
            first = self._open_part(parts.parts[0])
            self.sample_rate_hz, self.n_channels = first.sample_rate_hz, first.n_channels
            if not parts.is_judged and first.is_shortened:
                self._warn("truncated: the header promises more than the file holds")
            self._rest = parts.parts[1:]
            self._first = first
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
        """The next `BLOCK_S` seconds, fewer before the end, none at the end: float32, shape (n,).

        Raises:
            RecordingError: nothing at all could be decoded.
        """
        return next(self._blocks, np.zeros(0, np.float32))

    @property
    def claimed_s(self) -> float:
        """Length that the header promises (s), 0.0 if it does not know; what can be decoded may be more or less."""
        return (self._first.n_claimed or 0) / self.sample_rate_hz

    @property
    def is_length_certain(self) -> bool:
        """Whether `claimed_s` is the length of all that can be decoded."""
        return self._first.is_uncompressed and not self._rest

    @property
    def is_length_known(self) -> bool:
        """Whether no more than `claimed_s` can be decoded."""
        return self._first.n_claimed is not None and not self._rest

    @property
    def mix_loss(self) -> MixLoss | None:
        """What the mean of the channels loses; complete when the last block was read."""
        return self._mix.loss()

    def close(self) -> None:
        """Close the file; may be called more than once."""
        self._resources.close()

    def _find_parts(self, path: Path) -> Parts:
        file = FileBytes(self._fd)
        self.n_file_bytes = file.size
        try:
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
                n_bytes = part.stop - part.start
                self._warn(f"part {number} of {len(self._rest) + 1}, of {n_bytes} bytes, was left out: {error.what}")
                continue
            yield from self._part_blocks(decoder)
        if self._n_read == 0:
            raise RecordingError("nothing in it can be decoded", reason="undecodable", where=self.where)

    def _part_blocks(self, decoder: PartDecoder) -> Iterator[Samples]:
        resampler = Resampler(decoder.sample_rate_hz, self.sample_rate_hz)
        n_block = units.seconds_to_samples(BLOCK_S, decoder.sample_rate_hz)
        is_at_end = False
        while not is_at_end:
            frames = decoder.read(n_block)
            is_at_end = not len(frames)
            samples = resampler.push(self._mixed(frames), last=is_at_end)
            self._n_read += samples.size
            if samples.size:
                yield samples
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
