"""Iteration over the chunks of RIFF, RIFX, RF64, AIFF, CAF and W64 files."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from streamgmm.audio.formats.view import FileBytes

MAX_CHUNKS = 10_000
"""Largest number of chunks that are read, because a crafted file may consist of chunk headers only."""


class ChunkStyle(NamedTuple):
    """Layout of the chunk headers of a container.

    Attributes:
        n_name_bytes: 4 for a four-character name, 16 for a GUID.
        size_format: `struct` format of the size field.
        alignment: chunks begin at multiples of this (bytes).
        counts_header: True if the size includes the header.
    """

    n_name_bytes: int = 4
    size_format: str = "<I"
    alignment: int = 2
    counts_header: bool = False


RIFF_CHUNKS = ChunkStyle()
RIFX_CHUNKS = AIFF_CHUNKS = ChunkStyle(size_format=">I")
# Signed, because a CAF marks an unknown length with -1.
CAF_CHUNKS = ChunkStyle(size_format=">q", alignment=1)
W64_CHUNKS = ChunkStyle(n_name_bytes=16, size_format="<q", alignment=8, counts_header=True)
CONTAINER_NAMES = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b".snd", b"caff", b"riff", b"fLaC", b"OggS")
"""First bytes of files that may be concatenated; none of these is the name of a chunk."""

W64_NAME_END = bytes.fromhex("f3acd3118cd100c04f8edb8a")
"""Last 12 bytes of the chunk GUIDs of W64, after the four letters; the GUID of the file differs."""


class Chunk(NamedTuple):
    """Chunk as its header describes it.

    Attributes:
        name: first four bytes of its name or GUID.
        size_offset: offset of its size field in the file.
        start: offset of its content.
        n_bytes: length of the content by the header; negative or huge if the header is damaged.
        next: offset where the next chunk would begin.
    """

    name: bytes
    size_offset: int
    start: int
    n_bytes: int
    next: int


def chunks(file: FileBytes, offset: int, style: ChunkStyle) -> Iterator[Chunk]:
    """Yield the chunks from `offset` on, until a header is invalid or a chunk reaches beyond the end of the file."""
    n_header_bytes = style.n_name_bytes + struct.calcsize(style.size_format)
    for _ in range(MAX_CHUNKS):
        header = file.at(offset, n_header_bytes)
        name = header[:4]
        if len(header) < n_header_bytes or not _is_name(header[: style.n_name_bytes]):
            return
        (n_bytes,) = struct.unpack_from(style.size_format, header, style.n_name_bytes)
        # Negative if a damaged header of W64 claims less than its own length.
        n_bytes -= n_header_bytes if style.counts_header else 0
        start = offset + n_header_bytes
        end = start + n_bytes
        chunk = Chunk(name, offset + style.n_name_bytes, start, n_bytes, end + -end % style.alignment)
        yield chunk  # even if truncated: the caller decides what to do with it
        # A negative length would lead backwards, to chunks that were already read.
        if n_bytes < 0 or end > file.size:
            return
        offset = chunk.next


def end_of_chunks(file: FileBytes, offset: int, style: ChunkStyle) -> int:
    """Return the offset after the last whole chunk of the sequence at `offset`; `offset` if there is none."""
    for chunk in chunks(file, offset, style):
        if chunk.n_bytes < 0 or chunk.start + chunk.n_bytes > file.size or chunk.name in CONTAINER_NAMES:
            break
        offset = chunk.next
    return min(offset, file.size)


def _is_name(name: bytes) -> bool:
    # Printable ASCII distinguishes a chunk from samples or padding that follow the last one.
    return all(0x20 <= byte < 0x7F for byte in name[:4]) and name[4:] in (b"", W64_NAME_END)
