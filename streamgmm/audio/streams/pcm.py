"""PCM pipe source: raw PCM or WAV from standard input, as in `arecord | streamgmm run`."""

from __future__ import annotations

import logging
import os
import select
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

from streamgmm import units
from streamgmm.arrays import Samples
from streamgmm.audio.channels import ChannelChoice, has_channel
from streamgmm.audio.formats.containers import PACKED, WAV, recognise
from streamgmm.audio.source import Block, Vitals
from streamgmm.audio.streams.byte_stream import ByteStream
from streamgmm.audio.streams.pcm_coding import bytes_per_sample
from streamgmm.audio.streams.pcm_decoder import PCM_BLOCK_S, PcmDecoder
from streamgmm.audio.streams.wav_stream import BLOCK_BYTES, Layout, wav_sound
from streamgmm.errors import DataError, InputMissingError, UsageError
from streamgmm.settings.source import PcmFormat

logger = logging.getLogger("streamgmm.capture")

_FFMPEG_NAMES = {"s24_3le": "s24le", "s24_32le": "wav"}
"""FFmpeg's names of the formats where they differ; it has none for `s24_32le`, so a WAV with its header is used."""


class _ClosedError(Exception):
    """Raised when the source is closed while it waits for bytes."""


def _standard_input_fd() -> int:
    """Return descriptor 0, or -1 if the program was started without stdin, because 0 may then be any other file."""
    return -1 if sys.__stdin__ is None else 0


class PcmPipe:
    """Interleaved PCM from a file descriptor, until its end.

    If the stream begins like a WAV, its header gives the sample layout; other known file types are rejected.

    No data is dropped: while no thread reads, the pipe fills up and its writer blocks. While the writer sends
    nothing, `read` waits.

    Args:
        pcm_format: encoding of a sample.
        rate_hz: sample rate of the frames in the pipe.
        n_channels: number of channels in a frame.
        channel: index of one channel (from 0), or the mean of all.
        fd: descriptor to read, standard input if None; the caller keeps it and closes it.

    Attributes:
        n_discarded_bytes: length of the partial frame at the end of the stream; 0 if there was none.
    """

    is_live = False

    def __init__(
        self,
        *,
        pcm_format: PcmFormat = "s16le",
        rate_hz: int = 16000,
        n_channels: int = 1,
        channel: ChannelChoice = "mean",
        fd: int | None = None,
    ) -> None:
        self.name = "pcm:-"
        self.n_discarded_bytes = 0
        self._declared = self._layout = Layout(pcm_format, rate_hz, n_channels)
        self._channel: ChannelChoice = channel
        self._fd = _standard_input_fd() if fd is None else fd
        # Closing one end makes the other readable, which wakes the `select` in `read`.
        self._wake_reader, self._wake_writer = socket.socketpair()
        # Held by `read`: `close` must not close a socket that `select` waits for.
        self._reading = threading.Lock()

    def open(self, sample_rate_hz: int, block_samples: int | None = None) -> None:
        """Start delivering at `sample_rate_hz`.

        Raises:
            UsageError: the descriptor is a terminal.
            InputMissingError: the descriptor is closed.
        """
        try:
            os.fstat(self._fd)
        except OSError as error:
            raise self._unreadable(error) from error
        # Else the program, started without a pipe, would silently wait for the keyboard.
        if os.isatty(self._fd):
            raise UsageError("standard input is a terminal", where=self.name, hint="pipe raw PCM into it")
        self._stretches = self._decode(ByteStream(self._read_bytes), sample_rate_hz)

    def read(self) -> Block | None:
        """Wait for the next samples and return them; None at the end of the stream, or soon after `close`.

        Raises:
            InputMissingError: the descriptor cannot be read.
            DataError: the stream is a file of an unsupported type, or a WAV with an invalid header.
            UsageError: its frames do not have the channel.
        """
        with self._reading:
            # The generator keeps its place between calls; an exception ends it for good.
            with suppress(_ClosedError):
                for samples in self._stretches:
                    if samples.size:
                        return Block(samples)
            self._wake_reader.close()
            return None

    def vitals(self) -> Vitals:
        """Return the name; a pipe has no clock."""
        return Vitals(self.name)

    def close(self) -> None:
        """Stop, and wake a `read` that waits in another thread."""
        self._wake_writer.close()
        # If a reader holds the lock, it closes its end itself when it wakes.
        if self._reading.acquire(blocking=False):
            self._wake_reader.close()
            self._reading.release()

    def _decode(self, stream: ByteStream, sample_rate_hz: int) -> Iterator[Samples]:
        decoder: PcmDecoder | None = None
        for piece in self._pieces(stream):
            if isinstance(piece, Layout):
                yield from self._finish(decoder)
                decoder = self._begin(piece, sample_rate_hz)
            else:
                assert decoder is not None, "a layout comes first"
                yield decoder.push(piece)
        yield from self._finish(decoder)

    def _finish(self, decoder: PcmDecoder | None) -> Iterator[Samples]:
        """Yield the samples left in `decoder`, and count the bytes of a partial frame."""
        if decoder is not None:
            self.n_discarded_bytes += decoder.n_partial_bytes
            yield decoder.finish()

    def _pieces(self, stream: ByteStream) -> Iterator[Layout | bytes]:
        """Yield a sample layout, then the bytes of its samples; again for each further layout."""
        # Peeked, so that raw PCM loses none of the bytes that were examined.
        kind = recognise(stream.peek)
        if kind == WAV:
            yield from wav_sound(stream)
        elif kind is not None:
            raise DataError(f"standard input is {kind}, not raw PCM", where=self.name, hint=self._advice(kind))
        else:
            yield self._declared
            while data := stream.take(BLOCK_BYTES):
                yield data

    def _advice(self, kind: str) -> str:
        name, rate_hz, n_channels = self._declared
        command = f"ffmpeg -i - -f {_FFMPEG_NAMES.get(name, name)} -ar {rate_hz} -ac {n_channels} -"
        return f"{'unpack it, then decode' if kind in PACKED else 'decode'} it on its way: ... | {command} | streamgmm"

    def _begin(self, layout: Layout, sample_rate_hz: int) -> PcmDecoder:
        if not has_channel(layout.n_channels, self._channel):
            what = f"there is no channel {self._channel} among {layout.n_channels}"
            raise UsageError(what, where=self.name, hint="channels count from 0")
        if layout != self._layout:
            logger.info(
                "%s: takes %s from the header of the WAV, not source.pcm_* (%s)", self.name, layout, self._declared
            )
        self._layout = layout
        return PcmDecoder(layout, self._channel, sample_rate_hz)

    def _read_bytes(self) -> bytes:
        """Wait for the next bytes and return them; empty at the end of the stream."""
        if not self._wait_for_input():
            raise _ClosedError
        n_frames = units.seconds_to_samples(PCM_BLOCK_S, self._layout.rate_hz)
        try:
            return os.read(self._fd, n_frames * bytes_per_sample(self._layout.pcm_format) * self._layout.n_channels)
        except OSError as error:
            raise self._unreadable(error) from error

    def _wait_for_input(self) -> bool:
        """Wait for bytes or the end of the stream; return False once the source is closed."""
        wake_fd = self._wake_reader.fileno()
        # A closed socket has the descriptor -1, which `select` rejects.
        if self._wake_writer.fileno() < 0 or wake_fd < 0:
            return False
        if sys.platform == "win32":  # `select` supports only sockets there, so `close` takes effect at the next bytes
            return True
        readable, _, _ = select.select([self._fd, wake_fd], [], [])
        return wake_fd not in readable

    def _unreadable(self, error: OSError) -> InputMissingError:
        return InputMissingError(
            f"standard input cannot be read: {error.strerror}", where=self.name, hint="pipe raw PCM into it"
        )
