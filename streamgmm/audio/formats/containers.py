"""File type detection by the first bytes, for files that are piped in where raw PCM is expected.

Raw PCM can begin with any bytes, so each signature is long enough for sound to match it by chance in less than one
of 4e9 streams.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from streamgmm.audio.formats.mpeg import parse_frame

WAV = "WAV"
N_BYTES = 32
"""Number of bytes that the longest signature needs."""

N_MPEG_FRAMES = 4
"""Number of consecutive MP3 or AAC frames required: the two sync bytes of one frame are common in noise."""

PACKED = ("gzip", "bzip2", "xz", "zstd", "zip")
"""Names of compressed and archive formats, which contain other files."""

_SIGNATURES = (
    (WAV, rb"(RIFF|RF64|BW64).{4}WAVE"),
    ("WAV of the other byte order (RIFX)", rb"RIFX.{4}WAVE"),
    ("Wave64", rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb"),
    ("AVI", rb"RIFF.{4}AVI "),
    ("FLAC", rb"fLaC[\x00\x80]\x00\x00\x22"),
    ("Ogg", rb"OggS\x00[\x00-\x07]"),
    ("MP3", rb"ID3[\x02-\x04].[\x00\x10\x20\x40\x60\x80\xa0\xc0\xe0][\x00-\x7f]{4}"),
    ("AU", rb"\.snd\x00\x00.{6}\x00\x00\x00[\x01-\x1d]|dns\...\x00\x00.{4}[\x01-\x1d]\x00\x00\x00"),
    ("AIFF", rb"FORM.{4}(AIFF|AIFC|8SVX|16SV)"),
    ("CAF", rb"caff\x00\x01\x00\x00"),
    ("MP4 or M4A", rb"\x00\x00..ftyp[ -~]{4}"),
    ("Matroska or WebM", rb"\x1a\x45\xdf\xa3[\x01\x80-\xff]"),
    ("AMR", rb"#!AMR(-WB)?\n"),
    ("ASF (WMA)", rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    ("Monkey's Audio", rb"MAC .[\x0e-\x10]"),
    ("WavPack", rb"wvpk.{5}\x04"),
    ("Musepack", rb"MPCKSH"),
    ("TTA", rb"TTA1[\x01-\x03]\x00"),
    ("DSD", rb"DSD \x1c\x00\x00\x00|FRM8\x00\x00"),
    ("VOC", rb"Creative Voice File\x1a"),
    ("SPHERE", rb"NIST_1A\n"),
    ("FLV", rb"FLV\x01[\x01\x04\x05]\x00\x00\x00\x09"),
    ("gzip", rb"\x1f\x8b\x08[\x00-\x1f].{4}[\x00\x02\x04][\x00-\x0d\xff]"),
    ("bzip2", rb"BZh[1-9]1AY&SY"),
    ("xz", rb"\xfd7zXZ\x00"),
    ("zstd", rb"\x28\xb5\x2f\xfd"),
    ("zip", rb"PK\x03\x04[\x0a-\x3f]\x00"),
)
# DOTALL, because a size or a checksum may contain the byte of a newline.
_COMPILED = tuple((name, re.compile(pattern, re.DOTALL)) for name, pattern in _SIGNATURES)


class _MpegFrame(NamedTuple):
    kind: str
    n_bytes: int
    constant_bits: bytes  # header bits that are the same in all frames of a stream


def recognise(peek: Callable[[int], bytes]) -> str | None:
    """Return the type of the file that begins here; None if it may be raw PCM.

    Args:
        peek: returns the given number of the next bytes without taking them, or fewer at the end.
    """
    head = peek(N_BYTES)
    named = next((name for name, pattern in _COMPILED if pattern.match(head)), None)
    return named or _mpeg_kind(peek)


def _mpeg_kind(peek: Callable[[int], bytes]) -> str | None:
    """Return the type of an MP3 or AAC stream without file header, if enough frames of one kind follow one another."""
    first = frame = _mpeg_frame(peek(6))
    offset = 0
    for _ in range(1, N_MPEG_FRAMES):
        if frame is None or first is None or frame.constant_bits != first.constant_bits:
            return None
        # The header gives the length of its frame, so noise must match again at exactly this distance.
        offset += frame.n_bytes
        frame = _mpeg_frame(peek(offset + 6)[offset:])
    return first.kind if first and frame and frame.constant_bits == first.constant_bits else None


def _mpeg_frame(head: bytes) -> _MpegFrame | None:
    """Parse the header of a frame of MPEG audio, or of AAC in ADTS (ISO/IEC 13818-7); None if invalid."""
    if len(head) < 6:
        return None
    if head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        # 12 sync bits and layer 0, then 13 bits of length with the header of 7 bytes; rates 13 to 15 are reserved.
        n_bytes = (head[3] & 0x03) << 11 | head[4] << 3 | head[5] >> 5
        return _MpegFrame("AAC (ADTS)", n_bytes, head[1:3]) if n_bytes > 7 and head[2] >> 2 & 0x0F < 13 else None
    frame = parse_frame(head)
    if frame is None:
        return None
    layer = frame.kind[1]
    # Version, layer, protection and sample rate; bit rate and padding may vary from frame to frame.
    return _MpegFrame("MP3" if layer == 3 else f"MPEG layer {layer}", frame.n_bytes, bytes((head[1], head[2] & 0x0C)))
