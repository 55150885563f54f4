"""Extent of the samples in a container: compare the sizes in the header with the content of the file.

A recorder that died leaves sizes of 0 or of its last update, and a program that writes to a pipe leaves sizes that
mean "until the end". Only the size of the chunk of samples is used: the byte rate, the size of the file and
the number of samples in other chunks are often wrong in intact files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from streamgmm.audio.formats.chunks import CONTAINER_NAMES, ChunkStyle, end_of_chunks
from streamgmm.audio.formats.view import FileBytes, Part

STALE_S = 1.0
"""Duration from which on data after the samples that is not a chunk counts as sound (s); recorders update their
headers at least this often."""

# Near the largest signed and unsigned numbers: programs subtract the size of a header from them, or add it.
_UNKNOWN_32 = (range(0x7FFF0000, 0x80000101), range(0xFFFF0000, 0x100000000))
_UNKNOWN_64 = 2**62
_N_LOOK_BYTES = 4096
_TAGS = (b"TAG", b"ID3", b"APETAGEX")


class SizeField(NamedTuple):
    """Header field that contains the size of the samples.

    Attributes:
        offset: offset of the field in the file.
        format: `struct` format of the field.
        n_more_bytes: bytes that the field counts besides the samples.
        n_unit_bytes: unit of the field: 1 for bytes, the size of a frame for frames.
    """

    offset: int
    format: str
    n_more_bytes: int = 0
    n_unit_bytes: int = 1

    def patch(self, n_bytes: int) -> tuple[int, bytes]:
        """Return the offset of the field, and its bytes for the true size of the samples."""
        value = (n_bytes + self.n_more_bytes) // self.n_unit_bytes
        # Clamp to the largest value that the field can hold; `q` is signed.
        n_bits = 8 * struct.calcsize(self.format) - self.format.endswith("q")
        return self.offset, struct.pack(self.format, min(value, 2**n_bits - 1))


class Payload(NamedTuple):
    """Samples of a container as its header describes them.

    Attributes:
        start: offset of the first byte of the samples.
        n_bytes: length by the header; None for "until the end".
        size_fields: fields to correct for the decoder if the length is wrong.
        bytes_per_s: approximate byte rate; 0 if unknown.
        style: layout of the chunks that may follow; None if none can follow.
        is_mpeg: True if the samples are MPEG frames, which are read without the container.
    """

    start: int
    n_bytes: int | None
    size_fields: tuple[SizeField, ...]
    bytes_per_s: float
    style: ChunkStyle | None
    is_mpeg: bool = False


class Extent(NamedTuple):
    """Actual extent of the samples, and a warning if the header is wrong.

    Attributes:
        n_bytes: length of the samples.
        end: offset at which another recording may begin in the file.
        warning: description of what is wrong; empty for nothing.
    """

    n_bytes: int
    end: int
    warning: str = ""


def known_size(value: int, n_bits: int) -> int | None:
    """Return `value` of a size field of `n_bits`; None if it means "unknown", which is close to the largest number."""
    is_unknown = not 0 <= value < _UNKNOWN_64 if n_bits == 64 else any(value in values for values in _UNKNOWN_32)
    return None if is_unknown else value


def extent_of(payload: Payload, file: FileBytes) -> Extent:
    """Determine the actual extent of the samples of a container."""
    start, n_claimed = payload.start, payload.n_bytes
    n_left = max(0, file.size - start)
    if n_claimed is None:
        return Extent(n_left, file.size)
    if n_claimed > n_left:
        what = f"truncated: the header promises {n_claimed} bytes of sound, the file holds {n_left}"
        return Extent(n_left, file.size, what)
    end = _end_of_container(payload, file)
    n_more = file.size - end
    # The header is right: nothing follows the chunks, or another recording does.
    if not n_more or file.at(end, 4) in CONTAINER_NAMES:
        return Extent(n_claimed, end)
    if n_claimed == 0:
        what = f"the recorder never closed it: its header promises no sound, but {n_left} bytes follow and are used"
        return Extent(n_left, file.size, what)
    head = file.at(end, _N_LOOK_BYTES)
    # Padding and tags often follow the sound: neither deserves a warning.
    if not any(head) or head.startswith(_TAGS):
        return Extent(n_claimed, end)
    # So much more than a trailer means that the recorder died after its last update of the header.
    if n_more > STALE_S * (payload.bytes_per_s or n_claimed):
        what = (
            f"the recorder never closed it: its header promises {n_claimed} bytes of sound, but {n_left} follow "
            "and are used"
        )
        return Extent(n_left, file.size, what)
    return Extent(n_claimed, end, f"{n_more} bytes follow the sound and are not used")


def part_of(payload: Payload, start: int, extent: Extent) -> Part:
    """Return the container that begins at `start` as a part, with corrected sizes."""
    is_right = payload.n_bytes == extent.n_bytes
    patches = () if is_right else tuple(field.patch(extent.n_bytes) for field in payload.size_fields)
    return Part(start, extent.end, patches)


def _end_of_container(payload: Payload, file: FileBytes) -> int:
    """Return the offset after the chunks that follow the samples."""
    end = payload.start + (payload.n_bytes or 0)
    if payload.style is None:
        return end
    # Some programs do not pad a chunk of odd length: try both offsets.
    ends = [end_of_chunks(file, at, payload.style) for at in _starts(end, payload.style)]
    return max(ends)


def _starts(end: int, style: ChunkStyle) -> Iterator[int]:
    yield end
    if padding := -end % style.alignment:
        yield end + padding
