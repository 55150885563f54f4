"""Raw PCM from a pipe, as `arecord -t raw | streamgmm run` gives it."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading

import numpy as np
import numpy.typing as npt

from streamgmm import units
from streamgmm.audio.channels import Channel, has_channel, to_mono
from streamgmm.audio.resample import Resampler, warn_if_narrow
from streamgmm.audio.source import Block, Samples
from streamgmm.config import PcmFormat
from streamgmm.errors import InputMissingError, UsageError

_BLOCK_S = 0.05
_FULL_SCALES: dict[PcmFormat, tuple[str, float]] = {
    "s16le": ("<i2", 2.0**15),
    "s32le": ("<i4", 2.0**31),
    "f32le": ("<f4", 1.0),
}


def decode_pcm(data: bytes, pcm_format: PcmFormat) -> npt.NDArray[np.float32]:
    """Values of raw PCM: float32, shape (n,), full scale 1.0; exact for 16 bits.

    NaN and infinities of `f32le` are passed on.
    """
    dtype, full_scale = _FULL_SCALES[pcm_format]
    with np.errstate(invalid="ignore"):  # bytes that are no number are told of as such, not as a warning of numpy's
        return np.frombuffer(data, dtype).astype(np.float32) / np.float32(full_scale)


def _standard_input_fd() -> int:
    """Descriptor 0, or -1 if the program was started without: 0 may be anything by now."""
    return -1 if sys.__stdin__ is None else 0


class PcmPipe:
    """Interleaved PCM from a file descriptor until its end.

    Nothing is ever dropped: while nobody reads here, the pipe fills and its writer waits. While the
    writer is silent, `read` waits.

    Args:
        pcm_format: how a sample is coded.
        rate_hz: rate of the frames in the pipe.
        n_channels: channels in a frame.
        channel: which of them, or the mean.
        fd: the descriptor, standard input if None; it stays the caller's and is not closed.

    Attributes:
        n_discarded_bytes: length of the partial frame at the end of the stream, if there was one.
    """

    is_live = False

    def __init__(
        self,
        *,
        pcm_format: PcmFormat = "s16le",
        rate_hz: int = 16000,
        n_channels: int = 1,
        channel: Channel = "mean",
        fd: int | None = None,
    ) -> None:
        self.name = "pcm:-"
        self.n_discarded_bytes = 0
        self._pcm_format = pcm_format
        self._rate_hz = rate_hz
        self._n_channels = n_channels
        self._channel: Channel = channel
        self._fd = _standard_input_fd() if fd is None else fd
        self._n_frame_bytes = np.dtype(_FULL_SCALES[pcm_format][0]).itemsize * n_channels
        self._partial_frame = b""
        self._is_at_end = False
        # Closing one end makes the other readable, which wakes the select in `read`.
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._reading = threading.Lock()

    def open(self, sample_rate_hz: int) -> None:
        """Start delivering at `sample_rate_hz`.

        Raises:
            UsageError: the descriptor is a terminal, or the pipe has no such channel.
            InputMissingError: the descriptor is closed.
        """
        if not has_channel(self._n_channels, self._channel):
            what = f"there is no channel {self._channel} among {self._n_channels}"
            raise UsageError(what, where=self.name, hint="channels count from 0")
        try:
            os.fstat(self._fd)
        except OSError as error:
            raise self._unreadable(error) from error
        if os.isatty(self._fd):
            raise UsageError("standard input is a terminal", where=self.name, hint="pipe raw PCM into it")
        warn_if_narrow(self._rate_hz, sample_rate_hz)
        self._resampler = Resampler(self._rate_hz, sample_rate_hz)

    def read(self) -> Block | None:
        """Wait for the next samples; None at the end of the stream, or soon after `close`.

        Raises:
            InputMissingError: the descriptor cannot be read.
        """
        with self._reading:
            while not self._is_at_end and self._wait_for_input():
                samples = self._next_samples()
                if samples.size:
                    return Block(samples)
            self._wake_reader.close()
            return None

    def close(self) -> None:
        """Stop; wakes a `read` that waits in another thread."""
        self._wake_writer.close()
        # A reader that waits closes its own end when it wakes.
        if self._reading.acquire(blocking=False):
            self._wake_reader.close()
            self._reading.release()

    def _wait_for_input(self) -> bool:
        """Wait for bytes or the end of the stream; False once the source is closed."""
        wake_fd = self._wake_reader.fileno()
        if self._wake_writer.fileno() < 0 or wake_fd < 0:
            return False
        if sys.platform == "win32":  # where select knows sockets only, `close` takes effect at the next bytes
            return True
        readable, _, _ = select.select([self._fd, wake_fd], [], [])
        return wake_fd not in readable

    def _next_samples(self) -> Samples:
        data = self._partial_frame + self._read_bytes()
        n_whole_bytes = len(data) - len(data) % self._n_frame_bytes
        self._partial_frame = data[n_whole_bytes:]
        if self._is_at_end:
            self.n_discarded_bytes = len(self._partial_frame)
        frames = decode_pcm(data[:n_whole_bytes], self._pcm_format).reshape(-1, self._n_channels)
        return self._resampler.push(to_mono(frames, self._channel), last=self._is_at_end)

    def _read_bytes(self) -> bytes:
        n_bytes = units.seconds_to_samples(_BLOCK_S, self._rate_hz) * self._n_frame_bytes
        try:
            data = os.read(self._fd, n_bytes)
        except OSError as error:
            raise self._unreadable(error) from error
        self._is_at_end = not data
        return data

    def _unreadable(self, error: OSError) -> InputMissingError:
        return InputMissingError(
            f"standard input cannot be read: {error.strerror}", where=self.name, hint="pipe raw PCM into it"
        )
