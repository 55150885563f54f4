"""Ogg files, page by page: the links of a chain, and whether the last one ends.

A chain is what `cat`, a radio or a recorder that starts again makes of several streams; decoders often
read its first link alone. The pages are those of RFC 3533.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from streamgmm.audio.view import FileBytes, Part

_HEADER_BYTES = 27
_IS_FIRST, _IS_LAST = 2, 4


class Page(NamedTuple):
    """A page as its header describes it.

    Attributes:
        start: where it begins.
        stop: where it ends, perhaps beyond the end of the file.
        flags: 2 for the first of a stream, 4 for its last.
        content: its first bytes.
    """

    start: int
    stop: int
    flags: int
    content: bytes


class Chain(NamedTuple):
    """The links of an Ogg file.

    Attributes:
        parts: one after the other.
        warnings: what is missing.
        is_flac: True if a link holds FLAC.
    """

    parts: list[Part]
    warnings: list[str]
    is_flac: bool


def find_links(file: FileBytes, start: int) -> Chain:
    """Find the links of the chain that begins at `start`.

    Raises:
        OSError: the disk failed.
    """
    starts: list[int] = []
    warnings: list[str] = []
    is_in_header, is_flac, n_lost_bytes, end = False, False, 0, start
    last: Page | None = None
    for page in _pages(file, start):
        n_lost_bytes += page.start - end
        is_first = bool(page.flags & _IS_FIRST)
        # Streams that are multiplexed begin together, with one first page each.
        if not starts or (is_first and not is_in_header):
            is_flac = is_flac or page.content.startswith(b"\x7fFLAC")
            starts.append(page.start)
        is_in_header = is_first
        last, end = page, min(page.stop, file.size)
    if last is not None and (not last.flags & _IS_LAST or last.stop > file.size):
        warnings.append("truncated: the stream has no end")
    n_lost_bytes += file.size - end
    if n_lost_bytes:
        warnings.append(f"damaged: {n_lost_bytes} bytes of it are no pages, and were left out")
    stops = [*starts[1:], file.size] if starts else []
    return Chain([Part(*ends) for ends in zip(starts, stops, strict=True)], warnings, is_flac)


def _pages(file: FileBytes, offset: int) -> Iterator[Page]:
    while (offset := file.find(b"OggS", offset, file.size) if file.at(offset, 4) != b"OggS" else offset) < file.size:
        header = file.at(offset, _HEADER_BYTES + 255 + 8)
        if len(header) < _HEADER_BYTES:
            return
        _, _, flags, _, _, _, _, n_segments = struct.unpack_from("<4sBBqIIIB", header)
        start = offset + _HEADER_BYTES + n_segments
        n_bytes = sum(header[_HEADER_BYTES : _HEADER_BYTES + n_segments])
        content = header[_HEADER_BYTES + n_segments :][:8]
        yield Page(offset, start + n_bytes, flags, content)
        offset = start + n_bytes
