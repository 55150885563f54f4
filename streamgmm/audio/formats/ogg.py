"""Ogg pages: find the links of a chained file, and detect a missing end.

A chain is a concatenation of streams, as made by `cat`, by radio servers, or by a recorder that starts again;
decoders often read only its first link. Pages follow RFC 3533.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from streamgmm.audio.formats.view import FileBytes, Part

_PAGE_HEADER_BYTES = 27
_IS_FIRST, _IS_LAST = 2, 4


class Page(NamedTuple):
    """Page as its header describes it.

    Attributes:
        start: offset of its first byte.
        stop: offset after its last byte, perhaps beyond the end of the file.
        flags: sum of 2 for the first page of a stream and 4 for its last, among others.
        content: first bytes of the content.
    """

    start: int
    stop: int
    flags: int
    content: bytes


class Chain(NamedTuple):
    """Links of an Ogg file.

    Attributes:
        parts: one part for each link, in order.
        warnings: descriptions of what is missing.
        is_flac: True if a link contains FLAC.
    """

    parts: list[Part]
    warnings: list[str]
    is_flac: bool


def find_links(file: FileBytes, start: int) -> Chain:
    """Find the links of the chain that begins at `start`.

    Raises:
        OSError: the file cannot be read.
    """
    starts: list[int] = []
    warnings: list[str] = []
    is_in_header, is_flac, n_lost_bytes, end = False, False, 0, start
    last: Page | None = None
    for page in _pages(file, start):
        # Pages follow each other directly: what lies between them is damage.
        n_lost_bytes += page.start - end
        is_first = bool(page.flags & _IS_FIRST)
        # Multiplexed streams begin together, each with a first page of its own: they are one link.
        if not starts or (is_first and not is_in_header):
            is_flac = is_flac or page.content.startswith(b"\x7fFLAC")
            starts.append(page.start)
        is_in_header = is_first
        last, end = page, min(page.stop, file.size)
    # A recorder that died leaves no page with this flag, or only the beginning of its last page.
    if last is not None and (not last.flags & _IS_LAST or last.stop > file.size):
        warnings.append("truncated: the stream has no end")
    n_lost_bytes += file.size - end
    if n_lost_bytes:
        warnings.append(f"damaged: {n_lost_bytes} bytes of it are no pages, and were left out")
    stops = [*starts[1:], file.size] if starts else []
    return Chain([Part(*ends) for ends in zip(starts, stops, strict=True)], warnings, is_flac)


def _pages(file: FileBytes, offset: int) -> Iterator[Page]:
    # Search for the next capture pattern after damage, as RFC 3533 intends.
    while (offset := file.find(b"OggS", offset, file.size) if file.at(offset, 4) != b"OggS" else offset) < file.size:
        # The header, the longest segment table, and the start of the content.
        header = file.at(offset, _PAGE_HEADER_BYTES + 255 + 8)
        if len(header) < _PAGE_HEADER_BYTES:
            return
        _, _, flags, _, _, _, _, n_segments = struct.unpack_from("<4sBBqIIIB", header)
        start = offset + _PAGE_HEADER_BYTES + n_segments
        # The segment table has one byte for the length of each segment.
        n_bytes = sum(header[_PAGE_HEADER_BYTES : _PAGE_HEADER_BYTES + n_segments])
        content = header[_PAGE_HEADER_BYTES + n_segments :][:8]
        yield Page(offset, start + n_bytes, flags, content)
        offset = start + n_bytes
