"""WAV parser for pipes, where a writer cannot go back to correct the header.

The sizes in the header are guesses, because they are not known when it is written: arecord, sox and ffmpeg write zero
or the largest number. So a size only marks where something else may follow: another chunk, another WAV, the end, or
more samples.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from typing import NamedTuple

from streamgmm.audio.streams.byte_stream import ByteStream
from streamgmm.errors import DataError
from streamgmm.settings.source import PcmFormat

logger = logging.getLogger("streamgmm.capture")

MAX_CHUNKS_BYTES = 2**26
"""Largest total size of the chunks before the samples, e.g. of pictures and texts from a recorder."""

BLOCK_BYTES = 2**16
MAX_RATE_HZ, MIN_RATE_HZ, MAX_CHANNELS = 384000, 1000, 64
"""Limits of the sample rate and of the number of channels, as in the settings."""

# RIFX is missing: its samples have the other byte order.
_FORMS = (b"RIFF", b"RF64", b"BW64")
_UNKNOWN_SIZE = 0xFFFFFFFF
_LATER_CHUNKS = frozenset(
    [
        *(b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"axml", b"chna", b"cue ", b"smpl", b"inst", b"plst", b"fact"),
        *(b"PEAK", b"JUNK", b"junk", b"PAD ", b"FLLR", b"cart", b"acid", b"afsp", b"DISP", b"slnt", b"umid", b"_PMX"),
    ]
)
"""Names of chunks that may follow the samples; other bytes there are more samples."""

_EXTENSIBLE = 0xFFFE
_FORMATS: dict[tuple[int, int], PcmFormat] = {
    (1, 8): "u8",
    (1, 16): "s16le",
    (1, 24): "s24le",
    (1, 32): "s32le",
    (3, 32): "f32le",
    (3, 64): "f64le",
}
"""Sample formats by coding (1: integers, 3: floats) and bits."""

_CODINGS = {0x02: "ADPCM", 0x06: "A-law", 0x07: "mu-law", 0x11: "IMA ADPCM", 0x31: "GSM", 0x50: "MP2", 0x55: "MP3"}

_DECODE = "write plain samples, as `ffmpeg -i - -c:a pcm_s16le -f wav -` does"


class Layout(NamedTuple):
    """Layout of samples: sample format, sample rate, and number of channels in a frame."""

    pcm_format: PcmFormat
    rate_hz: int
    n_channels: int

    def __str__(self) -> str:
        channels = "1 channel" if self.n_channels == 1 else f"{self.n_channels} channels"
        return f"{self.rate_hz} Hz, {channels}, {self.pcm_format}"


def begins_wav(head: bytes) -> bool:
    """Return whether a WAV begins here (12 bytes are enough)."""
    return head[:4] in _FORMS and head[8:12] == b"WAVE"


def wav_sound(stream: ByteStream) -> Iterator[Layout | bytes]:
    """Yield the layout of the samples, then the bytes of the samples; again if another WAV follows.

    The header follows "Multimedia Programming Interface and Data Specifications 1.0" (IBM and
    Microsoft, 1991), with `WAVE_FORMAT_EXTENSIBLE` and RF64 (EBU Tech 3306).

    Raises:
        DataError: a header is truncated or invalid, or the samples are not PCM.
    """
    while begins_wav(stream.peek(12)):
        stream.skip(12)
        layout, n_bytes = _read_header(stream)
        yield layout
        yield from _samples(stream, n_bytes)
    # Read to the end, so that the writer does not fail because of a closed pipe.
    n_left = 0
    while left := stream.take(BLOCK_BYTES):
        n_left += len(left)
    if n_left:
        logger.warning("pcm:-: %d bytes after the end of the WAV are no sound and were left out", n_left)


def _read_header(stream: ByteStream) -> tuple[Layout, int]:
    """Read the header up to the first sample; return the layout, and the size of the samples by the header."""
    layout, n_long_bytes, n_passed = None, 0, 0
    while True:
        name, n_bytes = _chunk(stream)
        if name == b"data":
            break
        # All fields that are used are in the first bytes, and a wrong size may claim gigabytes.
        body = stream.peek(min(n_bytes, 64))
        if name == b"fmt ":
            layout = _layout(body)
        elif name == b"ds64" and len(body) >= 16:
            (n_long_bytes,) = struct.unpack_from("<Q", body, 8)
        n_passed += n_bytes
        # Checked before skipping: a wrong size would swallow the sound without an error.
        if n_passed > MAX_CHUNKS_BYTES:
            raise _broken(f"has no samples within {MAX_CHUNKS_BYTES} bytes")
        stream.skip(n_bytes + n_bytes % 2)
    if layout is None:
        raise _broken("has samples before it says how they are written")
    # RF64 moves sizes of more than 32 bits to `ds64`.
    return layout, n_long_bytes if n_bytes == _UNKNOWN_SIZE and n_long_bytes else n_bytes


def _chunk(stream: ByteStream) -> tuple[bytes, int]:
    """Read the name and the size of a chunk."""
    head = stream.peek(8)
    if len(head) < 8:
        raise _broken("is cut off before the samples")
    stream.skip(8)
    return struct.unpack("<4sI", head)


def _layout(body: bytes) -> Layout:
    if len(body) < 16:
        raise _broken("is cut off within `fmt `")
    coding, n_channels, rate_hz, _, n_align_bytes, n_bits = struct.unpack_from("<HHIIHH", body)
    if coding == _EXTENSIBLE and len(body) >= 26:
        (coding,) = struct.unpack_from("<H", body, 24)  # the first bytes of the subformat GUID
    if not 1 <= n_channels <= MAX_CHANNELS:
        raise _broken(f"claims {n_channels} channels, from 1 to {MAX_CHANNELS} are possible")
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise _broken(f"claims {rate_hz} Hz, from {MIN_RATE_HZ} to {MAX_RATE_HZ} are possible")
    # A sample of 20 bits occupies three bytes: take the size from the frame.
    n_bits = 8 * (n_align_bytes // n_channels) or n_bits
    pcm_format = _FORMATS.get((coding, n_bits))
    if pcm_format is None:
        name = _CODINGS.get(coding, f"coding {coding:#06x}")
        raise DataError(f"is WAV with samples of {n_bits} bits in {name}", where="pcm:-", hint=_DECODE)
    return Layout(pcm_format, rate_hz, n_channels)


def _broken(what: str) -> DataError:
    return DataError(f"the header of the WAV {what}", where="pcm:-", hint="pipe a whole file, or raw PCM")


def _samples(stream: ByteStream, n_bytes: int) -> Iterator[bytes]:
    """Yield the samples; after `n_bytes`, the size by the header, skip chunks or go on if more samples follow."""
    n_pad = n_bytes % 2
    while n_bytes and (data := _next_samples(stream, n_bytes)):
        n_bytes -= len(data)
        yield data
    # The size may be a guess: unless known chunks follow, more samples do.
    if n_bytes == 0 and not _skip_later_chunks(stream, n_pad):
        while data := _next_samples(stream, BLOCK_BYTES):
            yield data


def _next_samples(stream: ByteStream, n_bytes: int) -> bytes:
    """Read some samples; return none at the end, or where the header of another WAV begins."""
    if stream.peek(4) in _FORMS and begins_wav(stream.peek(12)):
        return b""
    # Stop at each `RIFF`, which may begin another WAV; if it does not, it is taken as sound next time.
    return stream.take(min(n_bytes, BLOCK_BYTES), before=b"RIFF")


def _skip_later_chunks(stream: ByteStream, n_pad: int) -> bool:
    """Skip the chunks that follow; return False if there are none, so that samples or the end follow."""
    # Some writers omit the pad byte after an odd size: skip it only if a chunk, a WAV or the end follows.
    has_pad = n_pad and stream.peek(1) == b"\0" and (stream.peek(5)[1:] in {b"", *_LATER_CHUNKS, *_FORMS})
    if not has_pad and stream.peek(4) not in _LATER_CHUNKS:
        return False
    stream.skip(int(has_pad))
    # A chunk that is cut off in its header is left for the caller, as the rest of the stream.
    while stream.peek(4) in _LATER_CHUNKS and len(stream.peek(8)) == 8:
        _, n_bytes = _chunk(stream)
        stream.skip(n_bytes + n_bytes % 2)
    return True
