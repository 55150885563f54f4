"""Writes Ogg Vorbis files whose bytes depend on the sound alone."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

# "WGMM" in ASCII, and the polynomial of CRC-32.
SERIAL = 0x5747_4D4D
POLYNOMIAL = 0x04C1_1DB7
BLOCK = 1 << 16  # samples a write: libsndfile overflows its stack with long ones


def crc_table() -> list[int]:
    """Return the table of Ogg's checksum."""
    table = []
    for byte in range(256):
        # Not `zlib.crc32`: Ogg uses the same polynomial, but without reflection and inversion of bits (RFC 3533).
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (POLYNOMIAL if value & 0x8000_0000 else 0)
        table.append(value & 0xFFFF_FFFF)
    return table


def checksum(page: bytes, table: list[int]) -> int:
    """Return the checksum of a page whose checksum field is zero."""
    value = 0
    for byte in page:
        value = ((value << 8) & 0xFFFF_FFFF) ^ table[(value >> 24) ^ byte]
    return value


def set_serial(data: bytes, serial: int) -> bytes:
    """Give the one stream of an Ogg file another serial number (encoders draw it at random)."""
    table = crc_table()
    pages = []
    at = 0
    while at < len(data):
        if data[at : at + 4] != b"OggS":
            raise ValueError(f"no Ogg page at byte {at}")
        # A page: header of 27 bytes, one length for each segment, then the segments.
        count = data[at + 26]
        size = 27 + count + sum(data[at + 27 : at + 27 + count])
        page = bytearray(data[at : at + size])
        struct.pack_into("<I", page, 14, serial)
        struct.pack_into("<I", page, 22, 0)
        struct.pack_into("<I", page, 22, checksum(bytes(page), table))
        pages.append(bytes(page))
        at += size
    return b"".join(pages)


def write_vorbis(path: Path, samples: npt.NDArray[np.float64], rate: int, quality: float) -> None:
    """Encode mono samples as Ogg Vorbis (quality from 0 to 1), with a fixed serial number."""
    # libsndfile counts compression: 0.0 is the best quality.
    with soundfile.SoundFile(
        path, "w", rate, 1, format="OGG", subtype="VORBIS", compression_level=1.0 - quality
    ) as stream:
        for start in range(0, len(samples), BLOCK):
            stream.write(samples[start : start + BLOCK])
    path.write_bytes(set_serial(path.read_bytes(), SERIAL))
