"""Decoder for one part of a recording, based on libsndfile; lengths in the header are not trusted."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import soundfile

from streamgmm.arrays import Float32Array
from streamgmm.audio.formats.foreign import conversion_of, is_foreign
from streamgmm.audio.formats.view import Part, PartFile
from streamgmm.audio.recording_error import RecordingError
from streamgmm.audio.source import MAX_PEAK
from streamgmm.signals import handlers_deferred

HIGH_PEAK = 8.0
"""Peak above which floating-point files are reported (full scale is 1.0)."""

_PEAK_BLOCK_FRAMES = 65536
_FLOATS = ("FLOAT", "DOUBLE")
# Magnitudes that samples reach if integers of so many bits were written as floats without scaling.
_FULL_SCALES = {8: 2.0**7, 16: 2.0**15, 24: 2.0**23, 32: 2.0**31}
# Error codes of libsndfile for unknown content, and for content that only looked like MP3.
_NOT_AUDIO_CODES = (1, 7)
# Error code of libsndfile for an unknown codec in a known container.
_UNKNOWN_CODEC_CODE = 3
_EXAMINED_BYTES = 4096
# libsndfile logs sizes that it had to correct as "data : 32000 (should be 15978)".
_CORRECTED_SIZE = re.compile(r"(\d+) \(should be (\d+)\)")
# libsndfile gives the largest 64-bit number of frames where the length is unknown.
_UNKNOWN_FRAMES = 2**60
# The first frames of an MP3 that was cut cannot be decoded: they refer to data in earlier frames (bit reservoir).
_MPEG_LOSS_S = 0.1


class _SequentialFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """Sound file without seeking, whose calls an interrupt does not cut short: libsndfile reads through `PartFile`.

    The base class seeks to the current position after every read, which makes an MP3 decoder lose its
    bit reservoir (audible, 7 % of full scale) and a damaged FLAC file lose its last good samples.
    """

    def __init__(self, view: PartFile) -> None:
        with handlers_deferred():
            super().__init__(view)

    def next_frames(self, n_frames: int) -> Float32Array:
        """Read up to `n_frames` frames: float32, shape (n, n_channels)."""
        with handlers_deferred():
            frames: Float32Array = self.read(n_frames, dtype="float32", always_2d=True)
        return frames

    def seekable(self) -> bool:
        return False


class Peak(NamedTuple):
    """Peak of the samples of a floating-point file.

    Attributes:
        value: largest magnitude.
        is_integer: True if all samples are integers.
    """

    value: float
    is_integer: bool


class PartDecoder:
    """Decode a part of a file block by block.

    Args:
        fd: descriptor of the file.
        part: part of the file to decode.
        where: name of the file, for messages.

    Attributes:
        sample_rate_hz: rate of the samples.
        n_channels: number of channels.
        n_read: frames read so far.
        warnings: problems found so far; complete at the end.

    Raises:
        RecordingError: the part is not audio, or cannot be used.
    """

    def __init__(self, fd: int, part: Part, where: str) -> None:
        self.part = part
        self._where = where
        self._view = PartFile(fd, part)
        self._file = _open(self._view, where)
        self.sample_rate_hz = int(self._file.samplerate)
        self.n_channels = int(self._file.channels)
        self.n_read = 0
        self.warnings: list[str] = []

    @property
    def n_claimed(self) -> int | None:
        """Return the number of frames by the header; None if the header does not give it."""
        if self.part.n_samples is not None:
            return self.part.n_samples
        n_frames = int(self._file.frames)
        return n_frames if n_frames < _UNKNOWN_FRAMES else None

    @property
    def is_uncompressed(self) -> bool:
        """Return whether the length follows from the number of bytes."""
        return str(self._file.subtype) in (*_FLOATS, "PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32") and (
            str(self._file.format) not in ("FLAC", "OGG", "MP3")
        )

    @property
    def is_shortened(self) -> bool:
        """Return whether libsndfile had to reduce a size in the header, as for a truncated file."""
        sizes = _CORRECTED_SIZE.findall(self._file.extra_info)
        return any(int(claimed) > int(actual) for claimed, actual in sizes)

    def read(self, n_frames: int) -> Float32Array:
        """Read up to `n_frames` frames: float32, shape (n, n_channels); fewer before the end, none at the end."""
        frames = np.zeros((0, self.n_channels), np.float32)
        try:
            frames = self._file.next_frames(n_frames)
        except soundfile.LibsndfileError as error:
            # The decoder cannot continue after damage, but the frames before it are good: treat it as the end.
            what = reason_text(error) or "what follows is damaged or cut off"
            self._warn(f"truncated or damaged after {self._at()}: {what}")
        self.n_read += len(frames)
        if not len(frames):
            self._check_end()
        return frames

    def peak(self, fd: int) -> Peak | None:
        """Measure the peak of floating-point samples without moving the read position; None for other formats."""
        if str(self._file.subtype) not in _FLOATS:
            return None
        value, is_integer = 0.0, True
        with _open(PartFile(fd, self.part), self._where) as file:
            while len(frames := file.next_frames(_PEAK_BLOCK_FRAMES)):
                # NaN and infinities would hide the peak; they are handled where the samples are used.
                finite = frames[np.isfinite(frames)]
                value = max(value, float(np.abs(finite).max(initial=0.0)))
                is_integer = is_integer and bool((finite == np.rint(finite)).all())
        return Peak(value, is_integer)

    def close(self) -> None:
        """Close the decoder; the file descriptor stays open."""
        self._file.close()

    def _check_end(self) -> None:
        # A read error explains the missing samples: report the cause alone.
        if self._view.error is not None:
            self._warn(f"cannot be read beyond {self._at()}: {self._view.error.strerror}")
        elif self.n_claimed is not None and self.n_claimed - self.n_read > self._tolerated_frames():
            self._warn(f"truncated: {self.n_read} of {self.n_claimed} samples could be decoded")

    def _tolerated_frames(self) -> float:
        return _MPEG_LOSS_S * self.sample_rate_hz if self._file.format == "MP3" else 0

    def _at(self) -> str:
        return f"{self.n_read} samples"

    def _warn(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)


def check_peak(peak: Peak, where: str) -> str:
    """Reject floating-point samples that are scaled as integers instead of to a full scale of 1.0.

    Returns:
        A warning, empty if there is nothing to report.

    Raises:
        RecordingError: the peak is too large.
    """
    # Integers of magnitude 0 and 1 alone are legitimate: silence, or a square wave at full scale.
    if peak.value > MAX_PEAK or (peak.is_integer and peak.value > 1.0):
        n_bits = next((n_bits for n_bits, scale in _FULL_SCALES.items() if peak.value <= scale), None)
        what = f"its samples reach {peak.value:.6g}, but a file of floats must have a full scale of 1.0"
        hint = "scale them to within 1.0 and write them again"
        if n_bits:
            hint = f"divide them by {_FULL_SCALES[n_bits]:.0f}, or write them as integers of {n_bits} bits"
        raise RecordingError(what, reason="out_of_range", where=where, hint=hint)
    if peak.value > HIGH_PEAK:
        return f"its samples reach {peak.value:.6g}, far over the full scale of 1.0"
    return ""


def reason_text(error: soundfile.LibsndfileError) -> str:
    """Return the error message of libsndfile without its full stop."""
    return str(error.error_string).rstrip(".")


def _open(view: PartFile, where: str) -> _SequentialFile:
    try:
        return _SequentialFile(view)
    except soundfile.LibsndfileError as error:
        # First, because libsndfile may only report unknown content, while a command to convert it helps the user.
        if error.code == _UNKNOWN_CODEC_CODE or is_foreign(where, view.head(_EXAMINED_BYTES)):
            what, hint = "is in a format that cannot be read", f"convert it: {conversion_of(where)}"
            raise RecordingError(what, reason="unsupported", where=where, hint=hint) from error
        if error.code in _NOT_AUDIO_CODES:
            what = "is not a recording of any known format, whatever its name"
            raise RecordingError(what, reason="not_audio", where=where) from error
        what = f"its header is unusable: {reason_text(error)}"
        raise RecordingError(what, reason="bad_header", where=where) from error
