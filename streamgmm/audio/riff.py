"""A look at the header of a WAV file, for refusals that name the field at fault.

libsndfile refuses an impossible header too, but not always in words that help.
"""

from __future__ import annotations

import struct

_PCM_LIKE_CODINGS = (0x0001, 0x0003, 0xFFFE)
"""PCM, IEEE float and extensible: codings whose number of bits must be given."""


def find_zero_field(head: bytes) -> str | None:
    """Name of a field of the `fmt ` chunk that is 0 and must not be.

    The layout is that of "Multimedia Programming Interface and Data Specifications 1.0" (IBM and
    Microsoft, 1991).

    Args:
        head: the first bytes of the file, a few kilobytes.

    Returns:
        The field's name there, or None if the header looks sound, is cut, or is no WAV header at all.
    """
    fields = _format_fields(head)
    if fields is None:
        return None
    coding, n_channels, rate_hz, _, n_align_bytes, n_bits = fields
    values = {"nChannels": n_channels, "nSamplesPerSec": rate_hz, "nBlockAlign": n_align_bytes}
    if coding in _PCM_LIKE_CODINGS:
        values["wBitsPerSample"] = n_bits
    return next((name for name, value in values.items() if value == 0), None)


def _format_fields(head: bytes) -> tuple[int, ...] | None:
    """Coding, channels, rate, bytes per second, bytes per frame and bits per sample, as the header has them."""
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return None
    offset = 12
    while offset + 24 <= len(head):
        name, n_bytes = struct.unpack_from("<4sI", head, offset)
        if name == b"fmt ":
            return struct.unpack_from("<HHIIHH", head, offset + 8)
        offset += 8 + n_bytes + n_bytes % 2  # an odd one is padded
    return None
