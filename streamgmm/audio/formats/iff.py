"""Headers of AIFF, AIFF-C, CAF and AU files: position, length and byte rate of the samples.

The layouts follow Apple's "Audio Interchange File Format" 1.3 and its draft for AIFF-C, Apple's
"Core Audio Format Specification 1.0", and Sun's `audio_filehdr.h`.
"""

from __future__ import annotations

import struct

from streamgmm.audio.formats.chunks import AIFF_CHUNKS, CAF_CHUNKS, Chunk, chunks
from streamgmm.audio.formats.payload import Payload, SizeField, known_size
from streamgmm.audio.formats.view import FileBytes

_N_SSND_BYTES = 8
"""Length of the offset and block size fields in front of the samples of AIFF."""

_N_EDIT_BYTES = 4
"""Length of the edit count in front of the samples of CAF."""

# Bytes of one channel in a packet, for codings of AIFF-C where the number of bits does not give them.
_AIFF_PACKET_BYTES = {b"ima4": 34, b"ulaw": 1, b"ULAW": 1, b"alaw": 1, b"ALAW": 1}
# By coding: 1 is mu-law, 2 to 5 are integers of 8 to 32 bits, 6 and 7 floats, 27 A-law.
_AU_SAMPLE_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}


def read_aiff(file: FileBytes, start: int) -> Payload | None:
    """Locate the samples of the AIFF file that begins at `start`; None if it has none."""
    common: Chunk | None = None
    for chunk in chunks(file, start + 12, AIFF_CHUNKS):
        if chunk.name == b"COMM":
            common = chunk
        elif chunk.name == b"SSND":
            return _aiff_payload(file, chunk, common)
    return None


def read_caf(file: FileBytes, start: int) -> Payload | None:
    """Locate the samples of the CAF file that begins at `start`; None if it has none."""
    bytes_per_s = 0.0
    for chunk in chunks(file, start + 8, CAF_CHUNKS):
        if chunk.name == b"desc":
            rate_hz, _, _, n_packet_bytes, n_packet_frames, _, _ = struct.unpack(">d4sIIIII", _padded(file, chunk, 32))
            bytes_per_s = rate_hz * n_packet_bytes / max(1, n_packet_frames)
        elif chunk.name == b"data":
            # A size of -1 means "until the end of the file".
            n_bytes = max(0, chunk.n_bytes - _N_EDIT_BYTES) if chunk.n_bytes >= 0 else -1
            fields = (SizeField(chunk.size_offset, ">q", _N_EDIT_BYTES),)
            return Payload(chunk.start + _N_EDIT_BYTES, known_size(n_bytes, 64), fields, bytes_per_s, CAF_CHUNKS)
    return None


def read_au(file: FileBytes, start: int) -> Payload | None:
    """Locate the samples of the AU file that begins at `start`; None if its header is truncated."""
    header = file.at(start, 24)
    if len(header) < 24:
        return None
    _, n_header_bytes, n_bytes, coding, rate_hz, n_channels = struct.unpack(">4s5I", header)
    bytes_per_s = float(rate_hz * n_channels * _AU_SAMPLE_BYTES.get(coding, 0))
    return Payload(start + n_header_bytes, known_size(n_bytes, 32), (SizeField(start + 8, ">I"),), bytes_per_s, None)


def _aiff_payload(file: FileBytes, samples: Chunk, common: Chunk | None) -> Payload:
    fields = [SizeField(samples.size_offset, ">I", _N_SSND_BYTES)]
    bytes_per_s = 0.0
    if common is not None:
        n_channels, _, n_bits, exponent, mantissa, coding = struct.unpack(">hIhHQ4s", _padded(file, common, 22))
        # `COMM` of AIFF has 18 bytes: the four read as its coding are then the name of the next chunk.
        n_packet_bytes = _AIFF_PACKET_BYTES.get(coding, -(-n_bits // 8)) if common.n_bytes >= 22 else -(-n_bits // 8)
        n_frame_bytes = max(1, n_channels * n_packet_bytes)
        # The number of frames, behind the number of channels.
        fields.append(SizeField(common.start + 2, ">I", 0, n_frame_bytes))
        # The rate is an 80-bit float: the bias of the exponent is 16383, and the mantissa has 63 fractional bits.
        # Clamped, because a crafted exponent would raise OverflowError.
        bytes_per_s = n_frame_bytes * mantissa * 2.0 ** min(64, max(-100, (exponent & 0x7FFF) - 16383 - 63))
    claimed = known_size(samples.n_bytes, 32)
    n_bytes = None if claimed is None else max(0, claimed - _N_SSND_BYTES)
    return Payload(samples.start + _N_SSND_BYTES, n_bytes, tuple(fields), bytes_per_s, AIFF_CHUNKS)


def _padded(file: FileBytes, chunk: Chunk, n_bytes: int) -> bytes:
    return file.at(chunk.start, n_bytes).ljust(n_bytes, b"\0")
