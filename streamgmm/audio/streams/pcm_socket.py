"""Socket source: samples from a program that connects and sends one line of JSON, then raw PCM."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from streamgmm import units
from streamgmm.arrays import Samples
from streamgmm.audio.channels import ChannelChoice, has_channel
from streamgmm.audio.source import Block, Vitals
from streamgmm.audio.source_error import LiveSourceError
from streamgmm.audio.streams.pace import Pace
from streamgmm.audio.streams.pcm_coding import bytes_per_sample
from streamgmm.audio.streams.pcm_decoder import PcmDecoder
from streamgmm.audio.streams.pcm_server import PcmServer, dismiss
from streamgmm.audio.streams.wav_stream import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, Layout
from streamgmm.settings.source import PcmFormat
from streamgmm.wording import escaped

WAIT_S = 5.0
"""Time for which `open` waits for a writer before it fails (s); the socket stays open."""

HEADER_S = 5.0
"""Longest time for a writer to send its header (s)."""

MAX_STREAM_HEADER_BYTES = 1024
"""Largest size of the header, including its newline."""

_READ_INTERVAL_S = 0.02
_MAX_READ_S = 0.1
_MAX_READ_BYTES = 2**20
"""Limits of one read: a writer that sends byte by byte, or too fast, costs little time and memory."""

WriterReason = Literal["no_writer", "bad_header", "no_channel", "ended", "stalled", "starved"]


class WriterError(LiveSourceError[WriterReason]):
    """Raised when no program sends samples, or when the one that did was rejected or has left."""

    # The next writer may have connected already: one with a wrong header must not keep it waiting.
    has_waited = True


class StreamHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """First line from a writer, as JSON.

    Attributes:
        rate_hz: sample rate of the frames.
        format: encoding of a sample.
        channels: number of interleaved channels in a frame.
        name: name of the writer, for people.
    """

    rate_hz: Annotated[int, Meta(ge=MIN_RATE_HZ, le=MAX_RATE_HZ)]
    format: PcmFormat
    channels: Annotated[int, Meta(ge=1, le=MAX_CHANNELS)] = 1
    name: Annotated[str, Meta(max_length=64)] = ""

    @property
    def layout(self) -> Layout:
        """Return the layout of the samples."""
        return Layout(self.format, self.rate_hz, self.channels)


_header_decoder = msgspec.json.Decoder(StreamHeader)


class _Ends(NamedTuple):
    writer: socket.socket
    listening: socket.socket


class PcmSocket:
    """Samples of one writer, from its connection to its end, which counts as a failure.

    Args:
        server: server that accepts the writers; stays open when this source is closed.
        channel: index of one channel (from 0), or the mean of all.
        timeout_s: longest time without sound from the writer (s).
        wait_s: longest time to wait for a writer (s).
        header_s: longest time to wait for the header (s).
    """

    is_live = True

    def __init__(
        self,
        server: PcmServer,
        *,
        channel: ChannelChoice = "mean",
        timeout_s: float = 10.0,
        wait_s: float = WAIT_S,
        header_s: float = HEADER_S,
    ) -> None:
        self.name = server.name
        self._server = server
        self._channel: ChannelChoice = channel
        self._timeout_s = timeout_s
        self._wait_s = wait_s
        self._header_s = header_s
        self._header: StreamHeader | None = None
        self._samples: Iterator[Samples] = iter(())
        self._pace = Pace(timeout_s)
        self._closed = threading.Event()
        self._reading = threading.Lock()
        self._resources = ExitStack()
        # Closing one end makes the other readable, which wakes a thread that waits in `select`.
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._resources.callback(self._wake_reader.close)

    def open(self, sample_rate_hz: int, block_samples: int | None = None) -> None:
        """Listen, and wait for a writer and for its header.

        Raises:
            WriterError: no writer connected in time, or its header is missing or invalid.
            CannotCreateError: the address is in use, or its folder is missing.
            PermissionDeniedError: the user is not permitted to listen there.
        """
        with self._reading:
            listening = None if self._closed.is_set() else self._server.listen()
            connection = None if listening is None else self._wait_for_writer(listening)
            if connection is not None and listening is not None:
                self._resources.callback(connection.close)
                self._begin(_Ends(connection, listening), sample_rate_hz)
            # A `close` meanwhile could not get the lock, and left the resources to this thread.
            if self._closed.is_set():
                self._resources.close()

    def read(self) -> Block | None:
        """Wait for the next block and return it; None soon after `close`.

        Raises:
            WriterError: the writer has left, or sends no sound or too little.
        """
        with self._reading:
            samples = next(self._samples, None)
            if self._closed.is_set():
                self._resources.close()
                return None
            return None if samples is None else Block(samples)

    def vitals(self) -> Vitals:
        """Return the name and format of the writer, and the latest time when its last sound can have been recorded."""
        if self._header is None:
            return Vitals(self.name)
        names = [escaped(self._header.name), str(self._header.layout)]
        return Vitals(f"{self.name} ({', '.join(filter(None, names))})", self._pace.heard_until_s)

    def close(self) -> None:
        """Disconnect the writer; may be called from any thread, more than once, and before `open`."""
        self._closed.set()
        self._wake_writer.close()
        # If a thread is reading, it closes the rest itself when it wakes.
        if self._reading.acquire(blocking=False):
            self._resources.close()
            self._reading.release()

    def _wait_for_writer(self, listening: socket.socket) -> socket.socket | None:
        deadline_s = time.monotonic() + self._wait_s
        while self._wait_for(deadline_s, listening):
            connection = self._server.accept()
            if connection is not None:
                return connection
        if self._closed.is_set():
            return None
        raise self._error("no_writer", "no program sends samples")

    def _begin(self, ends: _Ends, sample_rate_hz: int) -> None:
        """Read the header and prepare to read the samples; a writer that is rejected gets the reason."""
        try:
            line, rest = self._take_header(ends.writer)
            if self._closed.is_set():
                return
            self._header = self._check_header(line)
        except WriterError as error:
            dismiss(ends.writer, f"{escaped(error.what)}\n".encode())
            raise
        self._samples = self._decode(ends, self._header.layout, rest, sample_rate_hz)

    def _check_header(self, line: bytes) -> StreamHeader:
        try:
            header = _header_decoder.decode(line)
        # Nested brackets raise RecursionError.
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._error("bad_header", f"the header is wrong: {error}") from error
        if not has_channel(header.channels, self._channel):
            raise self._error("no_channel", f"there is no channel {self._channel} among {header.channels}")
        return header

    def _take_header(self, connection: socket.socket) -> tuple[bytes, bytes]:
        """Read the first line; return it and the bytes received after it."""
        received = b""
        deadline_s = time.monotonic() + self._header_s
        while b"\n" not in received and len(received) < MAX_STREAM_HEADER_BYTES:
            if not self._wait_for(deadline_s, connection):
                if self._closed.is_set():
                    return b"", b""
                raise self._error("bad_header", f"no header within {self._header_s:g} s")
            try:
                received += self._receive(connection, MAX_STREAM_HEADER_BYTES - len(received))
            except EOFError:
                raise self._error("bad_header", "the writer left before its header was complete") from None
        line, newline, rest = received.partition(b"\n")
        if not newline:
            raise self._error("bad_header", f"the header has more than {MAX_STREAM_HEADER_BYTES} bytes")
        return line, rest

    def _decode(self, ends: _Ends, layout: Layout, first: bytes, sample_rate_hz: int) -> Iterator[Samples]:
        """Yield arrays of samples, never empty, until the writer leaves.

        Raises:
            WriterError: the writer has left, sends no sound, or sends too little.
        """
        connection, listening = ends
        decoder = PcmDecoder(layout, self._channel, sample_rate_hz)
        n_frame_bytes = bytes_per_sample(layout.pcm_format) * layout.n_channels
        n_most = min(_MAX_READ_BYTES, n_frame_bytes * units.seconds_to_samples(_MAX_READ_S, layout.rate_hz))
        # `first` came together with the header.
        samples, deadline_s = decoder.push(first), time.monotonic() + self._timeout_s
        with suppress(EOFError):
            while True:
                if samples.size:
                    yield from self._paced(samples, sample_rate_hz)
                    # Only whole samples extend the deadline, not single bytes.
                    deadline_s = time.monotonic() + self._timeout_s
                # Let bytes accumulate, so that a writer of tiny pieces does not cost a wake-up for each.
                self._closed.wait(_READ_INTERVAL_S)
                ready = self._wait_for(deadline_s, connection, listening)
                if listening in ready:
                    self._server.turn_away()
                if self._closed.is_set():
                    return
                if not ready:
                    raise self._error("stalled", f"no sound for {self._timeout_s:g} s")
                samples = decoder.push(self._receive(connection, n_most) if connection in ready else b"")
        # The samples in the filter come before the error that ends the source.
        last = decoder.finish()
        if last.size:
            yield last
        cut = f" within a frame: {decoder.n_partial_bytes} bytes are left out" if decoder.n_partial_bytes else ""
        raise self._error("ended", f"the writer left{cut}")

    def _paced(self, samples: Samples, sample_rate_hz: int) -> Iterator[Samples]:
        """Yield the samples, and wait if they come too fast.

        Raises:
            WriterError: the samples come too slowly.
        """
        delay_s = self._pace.advance(time.monotonic(), units.samples_to_seconds(len(samples), sample_rate_hz))
        if self._pace.is_starved:
            raise self._error("starved", f"{self._pace.behind_s:.0f} s of sound have not come")
        yield samples
        if delay_s:
            self._closed.wait(delay_s)

    def _receive(self, connection: socket.socket, n_bytes: int) -> bytes:
        """Return the bytes that are available; may be empty.

        Raises:
            EOFError: the writer has closed the connection, or it is broken.
        """
        try:
            data = connection.recv(n_bytes)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            raise EOFError
        return data

    def _wait_for(self, deadline_s: float, *sockets: socket.socket) -> list[socket.socket]:
        """Wait for sockets that can be read and return them; none once closed or after the deadline."""
        # Not `select.select`, which fails for descriptors of 1024 and more.
        with selectors.DefaultSelector() as selector:
            # Skip a socket that another thread has closed: it cannot be registered.
            for waited_for in (each for each in sockets if each.fileno() >= 0):
                selector.register(waited_for, selectors.EVENT_READ, waited_for)
            if not self._closed.is_set():
                selector.register(self._wake_reader, selectors.EVENT_READ)
            ready = selector.select(max(0.0, deadline_s - time.monotonic()))
        return [] if self._closed.is_set() else [key.data for key, _ in ready if key.data is not None]

    def _error(self, reason: WriterReason, what: str) -> WriterError:
        return WriterError(reason, what, where=self.name)
