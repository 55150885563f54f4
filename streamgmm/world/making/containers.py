"""Readers of single sounds inside the archives of games and sound fonts."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

Audio = tuple[npt.NDArray[np.float64], int]


def decode(data: bytes) -> Audio:
    """Decode a sound file held in memory to (frames, channels) and its rate."""
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float64", always_2d=True)
    return samples, int(rate)


def read_cat(path: Path, member: str) -> Audio:
    """Read the sound of number `member` from an OpenTTD sample catalogue."""
    data = path.read_bytes()
    offset, size = struct.unpack_from("<II", data, 8 * int(member))
    offset &= 0x7FFFFFFF
    start = offset + 1 + data[offset]  # a Pascal string precedes the RIFF file
    return decode(data[start : start + size])


def cat_title(path: Path, number: int) -> str:
    """Return the description that an OpenTTD sample catalogue holds of a sound."""
    data = path.read_bytes()
    offset = int(struct.unpack_from("<I", data, 8 * number)[0]) & 0x7FFFFFFF
    return data[offset + 1 : offset + 1 + data[offset]].rstrip(b"\0").decode("latin-1")


def rcc_members(data: bytes) -> dict[str, bytes]:
    """List the files of a Qt resource collection, uncompressed and deflated ones alone."""
    # Behind the magic `qres`; all numbers are big-endian, and tree, payload and names are offsets in the data.
    version, tree, payload, names = struct.unpack_from(">IIII", data, 4)
    # From version 2 on, each node ends with a modification time of 8 bytes.
    node_size = 14 if version < 2 else 22
    found: dict[str, bytes] = {}

    def visit(node: int, prefix: str) -> None:
        name_at, flags = struct.unpack_from(">IH", data, tree + node * node_size)
        size = struct.unpack_from(">H", data, names + name_at)[0]
        # Length (2 bytes), hash (4 bytes), then UTF-16; the root, node 0, has no name.
        name = data[names + name_at + 6 : names + name_at + 6 + 2 * size].decode("utf-16-be") if node else ""
        where = f"{prefix}/{name}" if name else prefix
        # Flag 2 is a folder: number of children and first child. Of a file: its locale, and the offset of its content.
        first, second = struct.unpack_from(">II" if flags & 2 else ">HxxI", data, tree + node * node_size + 6)
        if flags & 2:
            for child in range(second, second + first):
                visit(child, where)
        # Flag 4 is Zstandard, flag 1 zlib behind 4 bytes of uncompressed length.
        elif not flags & 4:
            length = struct.unpack_from(">I", data, payload + second)[0]
            body = data[payload + second + 4 : payload + second + 4 + length]
            found[where.lstrip("/")] = zlib.decompress(body[4:]) if flags & 1 else body

    visit(0, "")
    return found


def read_rcc(path: Path, member: str) -> Audio:
    """Read one file of a Qt resource collection."""
    return decode(rcc_members(path.read_bytes())[member])


def soundfont_samples(data: bytes) -> dict[str, tuple[int, int]]:
    """List the samples of a compressed sound font (SF3): name, first and last byte."""
    pool = data.index(b"smpl") + 8
    header = data.rindex(b"shdr") + 8  # found by name: the font's chunks of odd size are not padded
    size = int(struct.unpack_from("<I", data, header - 4)[0])
    samples: dict[str, tuple[int, int]] = {}
    # The last record of 46 bytes only marks the end.
    for at in range(header, header + size - 46, 46):
        name, start, end = struct.unpack_from("<20sII", data, at)
        # Offsets in an SF3 are in bytes, because its samples are compressed.
        samples[name.split(b"\0")[0].decode("latin-1").strip()] = (pool + start, pool + end)
    return samples


def read_soundfont(path: Path, member: str) -> Audio:
    """Read one sample of a compressed sound font (SF3, Ogg Vorbis samples)."""
    data = path.read_bytes()
    start, end = soundfont_samples(data)[member]
    return decode(data[start:end])


def read_wad(path: Path, member: str) -> Audio:
    """Read a sound lump of a Doom WAD (8 bits, its own rate)."""
    data = path.read_bytes()
    count, directory = struct.unpack_from("<II", data, 4)
    for at in range(directory, directory + 16 * count, 16):
        offset, size, name = struct.unpack_from("<II8s", data, at)
        if name.rstrip(b"\0").decode("latin-1") == member:
            _, rate, frames = struct.unpack_from("<HHI", data, offset)
            # Behind a header of 8 bytes, 16 bytes of padding at either end are counted as samples but are none.
            body = np.frombuffer(data, np.uint8, min(int(frames), size - 8) - 32, offset + 24)
            return (body.astype(np.float64)[:, None] - 128.0) / 128.0, int(rate)
    raise KeyError(member)


READERS = {".cat": read_cat, ".rcc": read_rcc, ".sf3": read_soundfont, ".wad": read_wad}


def read_sound(path: Path, member: str) -> Audio:
    """Read a sound file, or one member of an archive: (frames, channels) and the rate."""
    if member:
        return READERS[path.suffix](path, member)
    if path.suffix == ".gsm":
        samples, rate = soundfile.read(
            path, dtype="float64", always_2d=True, format="RAW", subtype="GSM610", samplerate=8000, channels=1
        )
    else:
        samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    return samples, int(rate)
