"""Recordings from files that nobody vouches for.

Any file of any name may be handed in. What is not a regular file is never opened, nothing is
allocated by what a header says, and what was checked is what is read: one descriptor serves for all.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

import numpy as np
import soundfile

from streamgmm import units
from streamgmm.audio.channels import Channel, has_channel, to_mono
from streamgmm.audio.foreign import conversion_of, is_foreign
from streamgmm.audio.riff import find_zero_field
from streamgmm.audio.source import Samples
from streamgmm.errors import DataError, InputMissingError, PermissionDeniedError

MAX_FILE_BYTES = 512 * 2**20
"""Largest file that is read whole."""

MAX_DURATION_S = 3600.0
"""Longest recording that is read whole, at up to 48 kHz; a small file can hold days of silence."""

MIN_RATE_HZ, MAX_RATE_HZ = 1000, 384000
"""Sample rates that are believed: by a lower one, resampling would make gigabytes of a small file."""

BLOCK_S = 0.1
"""Read at once: a call costs as much as decoding some 20 ms, and a recording played live shall not wait for more."""

_HEAD_BYTES = 4096
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# What libsndfile answers to content that it does not know, or that only looked like MP3.
_NOT_AUDIO_CODES = (1, 7)
# ... and to a codec that it does not know in a file that it does.
_UNKNOWN_CODEC_CODE = 3
# libsndfile's log of a header gives sizes that it had to correct as "data : 32000 (should be 15978)".
_CORRECTED_SIZE = re.compile(r"(\d+) \(should be (\d+)\)")

Reason = Literal[
    "bad_header",
    "denied",
    "empty",
    "no_such_channel",
    "nonfinite",
    "not_audio",
    "not_regular",
    "symlink",
    "too_large",
    "too_long",
    "undecodable",
    "unreadable",
    "unsupported",
    "vanished",
]
"""Every reason for which a recording is refused."""


class RecordingError(DataError):
    """A recording is unusable.

    Args:
        what: what was wrong, in one line.
        reason: the same for counting.
        where: the file.
        hint: what to do about it.
    """

    def __init__(self, what: str, *, reason: Reason, where: str = "", hint: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.reason: Reason = reason


class RecordingMissingError(RecordingError, InputMissingError):
    """There is no such file, or not any more."""

    exit_code = InputMissingError.exit_code


class RecordingDeniedError(RecordingError, PermissionDeniedError):
    """The user may not read the file."""

    exit_code = PermissionDeniedError.exit_code


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
    with RecordingReader(path, channel, follow_symlinks, MAX_FILE_BYTES) as reader:
        samples = np.concatenate(list(_checked(reader)))
        return Recording(samples, reader.sample_rate_hz, reader.n_channels, tuple(reader.warnings))


def _checked(reader: RecordingReader) -> Iterator[Samples]:
    """The blocks of a recording, as long as they are finite and not too many."""
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


def open_recording(path: str | Path, *, channel: Channel = "mean", follow_symlinks: bool = False) -> RecordingReader:
    """Open a recording of any length to read it block by block; parameters and errors as `read_recording`.

    Neither size nor length is limited here, and NaN and infinities are passed on.
    """
    return RecordingReader(path, channel, follow_symlinks, sys.maxsize)


class _SequentialFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A sound file that is never seeked.

    The base class seeks to where it already is after every read, which makes an MP3 decoder lose its
    bit reservoir (audible, 7 % of full scale) and a damaged FLAC file lose its last good samples.
    """

    def seekable(self) -> bool:
        return False


class RecordingReader:
    """A recording read block by block, in constant memory; an iterator and a context manager.

    Made by `open_recording`. All blocks but the last hold 1024 samples, so that each reader of a file
    gets the same bits: lossy decoders round by block.

    Attributes:
        where: the file, for messages.
        sample_rate_hz: rate of the samples, the file's own.
        n_channels: how many channels the file has.
        warnings: what was not as it should be; complete when the last block was read.
    """

    def __init__(self, path: str | Path, channel: Channel, follow_symlinks: bool, max_file_bytes: int) -> None:
        self.where = str(path)
        self.warnings: list[str] = []
        self._channel: Channel = channel
        self._n_read = 0
        with ExitStack() as resources:
            fd = _open_regular(Path(path), follow_symlinks, max_file_bytes)
            resources.callback(os.close, fd)
            self._file = resources.enter_context(_open_sound(fd, self.where))
            self.sample_rate_hz = int(self._file.samplerate)
            self.n_channels = int(self._file.channels)
            self._check()
            self._n_block = units.seconds_to_samples(BLOCK_S, self.sample_rate_hz)
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
        frames = np.zeros((0, self.n_channels), np.float32)
        try:
            frames = self._file.read(self._n_block, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            # What came before the damage is sound, and the decoder cannot go on: this is the end.
            self._warn(f"damaged after {self._n_read} samples: {_reason_text(error)}")
        self._n_read += len(frames)
        if not len(frames):
            self._check_length()
        return to_mono(frames, self._channel)

    @property
    def claimed_s(self) -> float:
        """Length that the header promises (s); what can be decoded may be less."""
        return float(self._file.frames / self.sample_rate_hz)

    def close(self) -> None:
        """Close the file; may be called more than once."""
        self._resources.close()

    def _check(self) -> None:
        if not has_channel(self.n_channels, self._channel):
            what = f"there is no channel {self._channel} among {self.n_channels}"
            raise RecordingError(what, reason="no_such_channel", where=self.where, hint="channels count from 0")
        if not MIN_RATE_HZ <= self.sample_rate_hz <= MAX_RATE_HZ:
            what = f"the header says {self.sample_rate_hz} Hz, which is not {MIN_RATE_HZ} to {MAX_RATE_HZ}"
            raise RecordingError(what, reason="bad_header", where=self.where)
        if self._file.frames == 0:
            raise RecordingError("holds no samples", reason="empty", where=self.where)
        sizes = _CORRECTED_SIZE.findall(self._file.extra_info)
        if any(int(claimed) > int(actual) for claimed, actual in sizes):
            self._warn("truncated: the header promises more than the file holds")

    def _check_length(self) -> None:
        if self._n_read == 0:
            raise RecordingError("nothing in it can be decoded", reason="undecodable", where=self.where)
        if self._n_read < self._file.frames:
            self._warn(f"truncated: {self._n_read} of {self._file.frames} samples could be decoded")

    def _warn(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)


def _open_regular(path: Path, follow_symlinks: bool, max_file_bytes: int) -> int:
    """A descriptor of a regular file; looks first, because opening a device or a pipe can have effects."""
    flags = _OPEN_FLAGS | (0 if follow_symlinks else getattr(os, "O_NOFOLLOW", 0))
    try:
        _check_status(path.stat(follow_symlinks=follow_symlinks), max_file_bytes, str(path))
        fd = os.open(path, flags)
    except (OSError, ValueError) as error:
        _refuse(error, path)
    try:
        # Somebody may have put another file there since.
        _check_status(os.fstat(fd), max_file_bytes, str(path))
    except RecordingError:
        os.close(fd)
        raise
    return fd


def _check_status(status: os.stat_result, max_file_bytes: int, where: str) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise RecordingError("is a symbolic link", reason="symlink", where=where, hint="name the file itself")
    if stat.S_ISDIR(status.st_mode):
        raise RecordingError("is a folder", reason="not_regular", where=where, hint="name the recordings in it")
    if not stat.S_ISREG(status.st_mode):
        raise RecordingError("is a pipe, a socket or a device, not a file", reason="not_regular", where=where)
    if status.st_size == 0:
        raise RecordingError("is empty", reason="empty", where=where)
    if status.st_size > max_file_bytes:
        what = f"{status.st_size} bytes are too many"
        raise RecordingError(what, reason="too_large", where=where, hint=f"at most {max_file_bytes}; cut it into parts")


def _refuse(error: OSError | ValueError, path: Path) -> NoReturn:
    """Raise what the operating system's refusal means."""
    where = str(path)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        raise RecordingMissingError("there is no such file", reason="vanished", where=where) from error
    if isinstance(error, PermissionError):
        what = "may not be read by this user"
        raise RecordingDeniedError(what, reason="denied", where=where, hint="change its permissions") from error
    what = f"cannot be opened: {getattr(error, 'strerror', None) or error}"
    raise RecordingError(what, reason="unreadable", where=where) from error


def _open_sound(fd: int, where: str) -> _SequentialFile:
    try:
        head = os.read(fd, _HEAD_BYTES)
        field = find_zero_field(head)
        os.lseek(fd, 0, os.SEEK_SET)
    except OSError as error:
        _refuse(error, Path(where))
    if field:
        raise RecordingError(f"the header says that {field} is 0", reason="bad_header", where=where)
    try:
        return _SequentialFile(fd, closefd=False)
    except soundfile.LibsndfileError as error:
        if error.code == _UNKNOWN_CODEC_CODE or is_foreign(where, head):
            what, hint = "is in a format that cannot be read", f"convert it: {conversion_of(where)}"
            raise RecordingError(what, reason="unsupported", where=where, hint=hint) from error
        if error.code in _NOT_AUDIO_CODES:
            what = "is not a recording of any known format, whatever its name"
            raise RecordingError(what, reason="not_audio", where=where) from error
        what = f"its header is unusable: {_reason_text(error)}"
        raise RecordingError(what, reason="bad_header", where=where) from error


def _reason_text(error: soundfile.LibsndfileError) -> str:
    return str(error.error_string).rstrip(".")
