"""FFmpeg source: read network cameras, radio servers and files of any format.

FFmpeg runs as a child process and writes a WAV into a pipe. The header of the WAV gives the rate and the channels of
the stream, which are converted here as for every other source. The command line, which any user of the machine can
see, contains no URL: FFmpeg's concat demuxer reads the URL, with user and password, from a script on stdin.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from streamgmm import units
from streamgmm.arrays import Samples
from streamgmm.audio.channels import ChannelChoice, has_channel
from streamgmm.audio.child import Child
from streamgmm.audio.source import Block, Vitals
from streamgmm.audio.source_error import LiveSourceError
from streamgmm.audio.streams.byte_stream import ByteStream
from streamgmm.audio.streams.credentials import Credentials, read_credentials
from streamgmm.audio.streams.pace import Pace
from streamgmm.audio.streams.pcm_coding import bytes_per_sample
from streamgmm.audio.streams.pcm_decoder import PCM_BLOCK_S, PcmDecoder
from streamgmm.audio.streams.url import HIDDEN, Url, name_of, without_secrets
from streamgmm.audio.streams.wav_stream import Layout, wav_sound
from streamgmm.errors import DataError, InputMissingError, StreamgmmError
from streamgmm.files import path_status

# Until the header has shown how long a block is.
_FIRST_READ_BYTES = 4096

# -nostdin: stdin carries the script, and no commands from a keyboard.
_GLOBAL_OPTIONS = ("-nostdin", "-hide_banner", "-loglevel", "error")
# -safe 0: else the script may name neither URLs nor absolute paths.
_SCRIPT_OPTIONS = ("-f", "concat", "-safe", "0")
# Floats represent samples of up to 24 bits exactly and do not clip what a lossy codec decodes above full scale.
_OUTPUT_OPTIONS = ("-vn", "-sn", "-dn", "-c:a", "pcm_f32le", "-flush_packets", "1", "-f", "wav", "pipe:1")

# A file, e.g. a playlist, must not make FFmpeg open connections.
_FILE_PROTOCOLS = ("pipe", "file", "crypto", "data")
_NETWORK_PROTOCOLS = (
    *("pipe", "crypto", "data", "http", "https", "httpproxy", "tcp", "tls", "udp", "udplite", "rtp", "srtp", "rtsp"),
    *("rtmp", "rtmps", "rtmpt", "rtmpts", "rtmpe", "rtmpte", "mmsh", "mmst", "srt", "rist", "ftp", "sftp", "unix"),
)
"""Protocols that a stream may redirect to, e.g. by a playlist; files of this machine are excluded."""

# With UDP, a firewall between the camera and this machine would block all sound without an error.
_RTSP_OPTIONS = ("rtsp_flags prefer_tcp",)

Redact = Callable[[str], str]
"""Function that removes secrets from a line."""

FfmpegReason = Literal[
    "no_ffmpeg", "no_secret", "no_channel", "no_protocol", "too_old", "failed", "ended", "stalled", "starved"
]


class FfmpegError(LiveSourceError[FfmpegReason]):
    """Raised when FFmpeg cannot open a stream, or when the stream is lost."""

    hopeless_reasons = frozenset({"no_ffmpeg", "no_secret", "no_channel", "no_protocol", "too_old"})


class FfmpegSource:
    """Stream or recording that FFmpeg decodes.

    A stream, given by its URL, is live: its end is a failure, after which a new source is opened. A file ends like
    `file:`.

    Args:
        place: URL or path to read, see `parse_place`.
        channel: index of one channel (from 0), or the mean of all.
        secret_file: path of a file with `user:password` for the URL; empty if not needed.
        timeout_s: longest time without sound (s).
        program: name of the FFmpeg program.
    """

    def __init__(
        self,
        place: Url | Path,
        *,
        channel: ChannelChoice = "mean",
        secret_file: str = "",
        timeout_s: float = 10.0,
        program: str = "ffmpeg",
    ) -> None:
        self.name = name_of(place)
        self.is_live = isinstance(place, Url)
        self._place = place
        self._channel: ChannelChoice = channel
        self._secret_file = secret_file
        self._timeout_s = timeout_s
        self._program = program
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._child: Child | None = None
        self._layout: Layout | None = None
        self._samples: Iterator[Samples] = iter(())
        self._pace = Pace(timeout_s)

    def open(self, sample_rate_hz: int, block_samples: int | None = None) -> None:
        """Start FFmpeg; errors of the stream itself are raised by the first `read`.

        Raises:
            FfmpegError: FFmpeg is not installed, or the secret file cannot be read.
            InputMissingError: there is no such file.
            SystemResourceError: the process cannot be started.
        """
        program = shutil.which(self._program)
        if program is None:
            raise self._error("no_ffmpeg", "ffmpeg is not installed", "apt install ffmpeg, or brew install ffmpeg")
        script, self._redact = self._prepare()
        command = [program, *_GLOBAL_OPTIONS, "-protocol_whitelist", self._protocols()]
        command += [*_SCRIPT_OPTIONS, "-i", "pipe:0", *_OUTPUT_OPTIONS]
        with self._lock:  # else a `close` in another thread could miss the child
            if self._closed.is_set():
                return
            self._child = Child(command, stdin=script, redact=self._redact)
        self._samples = self._decode(self._child, sample_rate_hz)
        self._sample_rate_hz = sample_rate_hz

    def read(self) -> Block | None:
        """Wait for the next block and return it; None at the end of a file, or soon after `close`.

        Raises:
            FfmpegError: FFmpeg failed, the stream ended, or no sound came in time.
            DataError: the file cannot be decoded.
        """
        try:
            samples = next((samples for samples in self._samples if samples.size), None)
        except TimeoutError:
            raise self._error("stalled", f"no sound for {self._timeout_s:g} s") from None
        # After `close`, the output of the killed child looks like the end of a stream: check that first.
        if self._closed.is_set() or (samples is None and not self.is_live) or self._child is None:
            return None
        if samples is None:
            raise self._error("ended", "the stream ended")
        if self.is_live:
            self._keep_pace(units.samples_to_seconds(len(samples), self._sample_rate_hz))
        return Block(samples)

    def vitals(self) -> Vitals:
        """Return the name and the format, and the latest time when the last sound can have been recorded."""
        description = self.name if self._layout is None else f"{self.name} ({self._layout})"
        return Vitals(description, self._pace.heard_until_s)

    def close(self) -> None:
        """Kill FFmpeg; may be called from any thread, more than once, and before `open`."""
        with self._lock:
            self._closed.set()
        # From here on `open` starts no child, so that none can be missed.
        if self._child is not None:
            self._child.close()

    def _prepare(self) -> tuple[bytes, Redact]:
        """Return the script for FFmpeg, and a function that removes its secrets from messages of FFmpeg."""
        if isinstance(self._place, Path):
            # Without `file:`, FFmpeg would take a path with a colon for a URL.
            if path_status(self._place) is None:
                raise InputMissingError("no such file", where=self.name)
            return _make_script(f"file:{self._place.absolute()}"), _without_script_name
        credentials = self._read_credentials()
        full, shown = self._place.with_user(credentials.quoted() if credentials else ""), str(self._place)

        def redact(line: str) -> str:
            line = without_secrets(_without_script_name(line).replace(full, shown))
            return credentials.hide_in(line, HIDDEN) if credentials else line

        return _make_script(full, _RTSP_OPTIONS if self._place.scheme in ("rtsp", "rtsps") else ()), redact

    def _read_credentials(self) -> Credentials | None:
        if not self._secret_file:
            return None
        try:
            return read_credentials(Path(self._secret_file))
        except StreamgmmError as error:
            raise self._error("no_secret", str(error)) from error

    def _protocols(self) -> str:
        if isinstance(self._place, Path):
            return ",".join(_FILE_PROTOCOLS)
        return ",".join(dict.fromkeys([self._place.scheme, *_NETWORK_PROTOCOLS]))

    def _decode(self, child: Child, sample_rate_hz: int) -> Iterator[Samples]:
        decoder: PcmDecoder | None = None
        for piece in wav_sound(ByteStream(lambda: self._read_bytes(child))):
            if isinstance(piece, Layout):
                if not has_channel(piece.n_channels, self._channel):
                    what = f"there is no channel {self._channel} among {piece.n_channels}"
                    raise self._error("no_channel", what, "channels count from 0")
                self._layout = piece
                decoder = PcmDecoder(piece, self._channel, sample_rate_hz)
            elif decoder is not None:
                yield decoder.push(piece)
        if decoder is not None:
            yield decoder.finish()

    def _read_bytes(self, child: Child) -> bytes:
        """Wait for the next bytes of the WAV and return them; empty at the end."""
        try:
            return child.read_some(self._n_block_bytes(), self._timeout_s) or b""
        except EOFError:
            # FFmpeg exits with 0 even after a lost connection: only its messages on stderr give the reason.
            end = child.describe_end()
            if end == "exit status 0" or (child.wait_for_exit() == 0 and not self.is_live):
                return b""
            raise self._explain(end) from None

    def _n_block_bytes(self) -> int:
        if self._layout is None:
            return _FIRST_READ_BYTES
        # At most one block per read; the rest waits in the pipe, and a full pipe makes FFmpeg wait.
        n_frames = units.seconds_to_samples(PCM_BLOCK_S, self._layout.rate_hz)
        return n_frames * bytes_per_sample(self._layout.pcm_format) * self._layout.n_channels

    def _explain(self, end: str) -> StreamgmmError:
        """Return the error to raise when FFmpeg ended; `end` is its last line on stderr, or its exit status."""
        if not self.is_live:
            return DataError(f"ffmpeg reports: {end}", where=self.name)
        # The concat demuxer knows the directive `option`, which RTSP needs here, only since 5.0.
        if "unknown keyword 'option'" in end:
            return self._error("too_old", f"ffmpeg reports: {end}", "RTSP needs ffmpeg 5.0 or later")
        return self._error("no_protocol" if "Protocol not found" in end else "failed", f"ffmpeg reports: {end}")

    def _keep_pace(self, duration_s: float) -> None:
        """Count sound that was received, and wait if it comes too fast.

        Raises:
            FfmpegError: the sound comes too slowly.
        """
        delay_s = self._pace.advance(time.monotonic(), duration_s)
        if self._pace.is_starved:
            raise self._error("starved", f"{self._pace.behind_s:.0f} s of sound have not come")
        if delay_s:
            self._closed.wait(delay_s)

    def _error(self, reason: FfmpegReason, what: str, hint: str = "") -> FfmpegError:
        return FfmpegError(reason, what, where=self.name, hint=hint)


def _make_script(place: str, options: Sequence[str] = ()) -> bytes:
    """Return a script for the concat demuxer that plays `place` with the given demuxer options."""
    # As in a shell: end the quotes, add an escaped quote, begin the quotes again.
    quoted = place.replace("'", r"'\''")
    lines = ["ffconcat version 1.0", f"file '{quoted}'", *(f"option {option}" for option in options)]
    # A file name that is not UTF-8 reaches FFmpeg as the same bytes.
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def _without_script_name(line: str) -> str:
    """Return a line of stderr without the name of the script; empty for FFmpeg's suggestion about that name."""
    return "" if line.startswith("Did you mean file:") else line.removeprefix("pipe:0: ")
