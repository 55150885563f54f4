"""How much of a file is sound: what the header of a container claims, held against what is there.

A recorder that died has left sizes of 0 or of its last update, a writer into a pipe sizes that mean
"until the end". Only the size of the chunk of samples counts: the byte rate, the size of the whole file
and the number of samples in other chunks are often wrong in files that are whole.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from streamgmm.audio.chunks import CONTAINER_NAMES, ChunkStyle, end_of_chunks
from streamgmm.audio.view import FileBytes, Part

STALE_S = 1.0
"""What follows the samples and is no chunk is sound if it lasts longer: headers are updated at least as often."""

_UNKNOWN_32 = (range(0x7FFF0000, 0x80000101), range(0xFFFF0000, 0x100000000))
_UNKNOWN_64 = 2**62
_N_LOOK_BYTES = 4096
_TAGS = (b"TAG", b"ID3", b"APETAGEX")


class SizeField(NamedTuple):
    """A place of the header that repeats the size of the samples.

    Attributes:
        offset: its place in the file.
        format: how `struct` writes it.
        n_more_bytes: what it counts besides the samples.
        n_unit_bytes: what it counts by: 1 for bytes, the size of a frame for frames.
    """

    offset: int
    format: str
    n_more_bytes: int = 0
    n_unit_bytes: int = 1

    def patch(self, n_bytes: int) -> tuple[int, bytes]:
        """The field with the true size."""
        value = (n_bytes + self.n_more_bytes) // self.n_unit_bytes
        n_bits = 8 * struct.calcsize(self.format) - self.format.endswith("q")
        return self.offset, struct.pack(self.format, min(value, 2**n_bits - 1))


class Payload(NamedTuple):
    """The samples of a container by its header.

    Attributes:
        start: offset of their first byte.
        n_bytes: how many the header claims, None if it says "until the end".
        size_fields: what the decoder must find corrected if that is not true.
        bytes_per_s: about how many make a second, 0 if that is not known.
        style: of the chunks that may follow, None if none may.
        is_mpeg: True if they are MPEG frames, which are read without the container.
    """

    start: int
    n_bytes: int | None
    size_fields: tuple[SizeField, ...]
    bytes_per_s: float
    style: ChunkStyle | None
    is_mpeg: bool = False


class Extent(NamedTuple):
    """How far the samples reach, and what was wrong with what the header says of it.

    Attributes:
        n_bytes: length of the samples.
        end: where something else may begin in the file.
        warning: empty if nothing was wrong.
    """

    n_bytes: int
    end: int
    warning: str = ""


def known_size(value: int, n_bits: int) -> int | None:
    """`value` of a field of `n_bits`, None if it stands for "unknown": the largest numbers, or nearly so."""
    is_unknown = not 0 <= value < _UNKNOWN_64 if n_bits == 64 else any(value in values for values in _UNKNOWN_32)
    return None if is_unknown else value


def extent_of(payload: Payload, file: FileBytes) -> Extent:
    """How far the samples of a container really reach."""
    start, n_claimed = payload.start, payload.n_bytes
    n_left = max(0, file.size - start)
    if n_claimed is None:
        return Extent(n_left, file.size)
    if n_claimed > n_left:
        what = f"truncated: the header promises {n_claimed} bytes of sound, the file holds {n_left}"
        return Extent(n_left, file.size, what)
    end = _end_of_container(payload, file)
    n_more = file.size - end
    if not n_more or file.at(end, 4) in CONTAINER_NAMES:
        return Extent(n_claimed, end)
    if n_claimed == 0:
        what = f"the recorder never closed it: its header promises no sound, but {n_left} bytes follow and are used"
        return Extent(n_left, file.size, what)
    head = file.at(end, _N_LOOK_BYTES)
    if not any(head) or head.startswith(_TAGS):
        return Extent(n_claimed, end)
    if n_more > STALE_S * (payload.bytes_per_s or n_claimed):
        what = (
            f"the recorder never closed it: its header promises {n_claimed} bytes of sound, but {n_left} follow "
            "and are used"
        )
        return Extent(n_left, file.size, what)
    return Extent(n_claimed, end, f"{n_more} bytes follow the sound and are not used")


def part_of(payload: Payload, start: int, extent: Extent) -> Part:
    """The part of the file that the container which begins at `start` is, its sizes corrected."""
    is_right = payload.n_bytes == extent.n_bytes
    patches = () if is_right else tuple(field.patch(extent.n_bytes) for field in payload.size_fields)
    return Part(start, extent.end, patches)


def _end_of_container(payload: Payload, file: FileBytes) -> int:
    """Where the chunks end that follow the samples."""
    end = payload.start + (payload.n_bytes or 0)
    if payload.style is None:
        return end
    # Some writers do not pad a chunk of odd length.
    ends = [end_of_chunks(file, at, payload.style) for at in _starts(end, payload.style)]
    return max(ends)


def _starts(end: int, style: ChunkStyle) -> Iterator[int]:
    yield end
    if padding := -end % style.alignment:
        yield end + padding
