"""Headers of WAV files and related formats: RIFF, RIFX, RF64, BW64 and W64.

libsndfile also rejects impossible headers, but not always with a helpful message, and it trusts sizes that were
never written. The layouts follow "Multimedia Programming Interface and Data Specifications 1.0" (IBM and
Microsoft, 1991), EBU Tech 3306 and Sony's "Wave64 Information Chunk".
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from streamgmm.audio.formats.chunks import RIFF_CHUNKS, RIFX_CHUNKS, W64_CHUNKS, Chunk, ChunkStyle, chunks
from streamgmm.audio.formats.payload import Payload, SizeField, known_size
from streamgmm.audio.formats.view import FileBytes

_PCM_LIKE_CODINGS = (0x0001, 0x0003, 0xFFFE)
"""Codings whose number of bits must be given: PCM, IEEE float and extensible."""

# MPEG layers 1 and 2, and layer 3.
_MPEG_CODINGS = (0x0050, 0x0055)
_IN_DS64 = 0xFFFFFFFF
# A GUID and a size of 64 bits, which the size of a W64 chunk includes.
_W64_HEADER_BYTES = 24


class _Family(NamedTuple):
    header_bytes: int
    style: ChunkStyle
    byte_order: str


_FAMILIES = {
    b"RIFF": _Family(12, RIFF_CHUNKS, "<"),
    b"RF64": _Family(12, RIFF_CHUNKS, "<"),
    b"BW64": _Family(12, RIFF_CHUNKS, "<"),
    b"RIFX": _Family(12, RIFX_CHUNKS, ">"),
    # Two GUIDs of 16 bytes, with a size of 8 between them.
    b"riff": _Family(40, W64_CHUNKS, "<"),
}


class Format(NamedTuple):
    """Content of a `fmt ` chunk.

    Attributes:
        coding: format tag; 1 is PCM.
        n_channels: number of channels.
        rate_hz: sample rate.
        bytes_per_s: byte rate by the header, often wrong.
        n_align_bytes: size of a frame, or of a block of a compressed coding.
        n_bits: bits of a sample.
    """

    coding: int
    n_channels: int
    rate_hz: int
    bytes_per_s: int
    n_align_bytes: int
    n_bits: int

    def zero_field(self) -> str | None:
        """Return the name in the specification of a field that must not be 0 but is; None if there is none."""
        values = {
            "nChannels": self.n_channels,
            "nSamplesPerSec": self.rate_hz,
            "nBlockAlign": self.n_align_bytes,
        }
        if self.coding in _PCM_LIKE_CODINGS:
            values["wBitsPerSample"] = self.n_bits
        return next((name for name, value in values.items() if value == 0), None)

    def true_bytes_per_s(self) -> float:
        """Return the byte rate: computed from the other fields for PCM, that of the header for other codings."""
        if self.coding in _PCM_LIKE_CODINGS:
            return self.rate_hz * self.n_channels * self.n_bits / 8
        return self.bytes_per_s


class Wave(NamedTuple):
    """Header of a WAV file.

    Attributes:
        format: `fmt ` chunk; None if there is none before the samples.
        payload: samples; None if there are none.
    """

    format: Format | None
    payload: Payload | None


def read_wave(file: FileBytes, start: int) -> Wave | None:
    """Read the header of the WAV file that begins at `start`; None if it is not a WAV file.

    Raises:
        OSError: the file cannot be read.
    """
    head = file.at(start, 40)
    family = _FAMILIES.get(head[:4])
    # The type follows a name and size of 8 bytes, in W64 a GUID and size of 24.
    if family is None or not (head[8:12] == b"WAVE" or head[24:28] == b"wave"):
        return None
    form, ds64 = None, None
    for chunk in chunks(file, start + family.header_bytes, family.style):
        if chunk.name == b"fmt ":
            form = _format(file.at(chunk.start, 16), family)
        elif chunk.name == b"ds64":
            ds64 = chunk
        elif chunk.name == b"data":
            return Wave(form, _data_chunk_payload(file, chunk, ds64, form, family))
    return Wave(form, None)


def _format(content: bytes, family: _Family) -> Format | None:
    if len(content) < 16:
        return None
    return Format(*struct.unpack(family.byte_order + "HHIIHH", content))


def _data_chunk_payload(
    file: FileBytes, data: Chunk, ds64: Chunk | None, form: Format | None, family: _Family
) -> Payload:
    is_64 = family.style.size_format == "<q"
    n_claimed = data.n_bytes if is_64 else known_size(data.n_bytes, 32)
    fields: tuple[SizeField, ...] = (SizeField(data.size_offset, family.style.size_format.upper()),)
    if is_64:
        n_claimed = known_size(n_claimed or 0, 64)
        fields = (SizeField(data.size_offset, "<q", _W64_HEADER_BYTES),)
    elif ds64 is not None and data.n_bytes == _IN_DS64:
        # RF64 moves sizes of more than 32 bits to `ds64`, and writes 0xFFFFFFFF here.
        size_bytes = file.at(ds64.start + 8, 8)
        n_claimed = known_size(int.from_bytes(size_bytes, "little"), 64)
        # The fields of `ds64`: size of the file, size of the samples, and number of frames.
        n_align_bytes = max(1, form.n_align_bytes if form else 1)
        n_before_bytes = data.start - ds64.start + 20
        fields = (
            SizeField(ds64.start, "<Q", n_before_bytes),
            SizeField(ds64.start + 8, "<Q"),
            SizeField(ds64.start + 16, "<Q", 0, n_align_bytes),
        )
    return Payload(
        start=data.start,
        n_bytes=n_claimed,
        size_fields=fields,
        bytes_per_s=form.true_bytes_per_s() if form else 0.0,
        style=family.style,
        is_mpeg=form is not None and form.coding in _MPEG_CODINGS,
    )


def find_zero_field(file: FileBytes) -> str | None:
    """Return the name of a field of the `fmt ` chunk that must not be 0 but is; None if there is none, or no WAV.

    Raises:
        OSError: the file cannot be read.
    """
    wave = read_wave(file, 0)
    return wave.format.zero_field() if wave and wave.format else None
