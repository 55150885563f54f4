"""MPEG audio frames: find the start, the end and the length of each stream in an MP3 file.

Without a Xing header, libsndfile (with mpg123) estimates the number of samples from the first frames and the
length of the file, and stops there even if the estimate is wrong. It also stops at the end of the first of
several concatenated streams. Frame headers follow ISO/IEC 11172-3 and 13818-3, the Xing header follows the
LAME project's "MP3 Info Tag rev 1".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from streamgmm.audio.formats.view import FileBytes, Part

MAX_JUNK_BYTES = 4096
"""Number of bytes that are neither frames nor tags above which they are reported."""

# By 1 for MPEG-1 or 2 for MPEG-2 and 2.5, and by layer; the index in the header counts from 1.
_KBIT_RATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
# By the version bits: 3 is MPEG-1, 2 is MPEG-2, 0 is MPEG-2.5, and 1 is reserved.
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
# Enough for a Xing header up to its number of bytes, behind the longest side information.
_HEAD_BYTES = 56
_N_FIRST_FRAMES = 4
_ID3V2_HEADER_BYTES = 10
_ID3V1_BYTES = 128
_APE_BYTES = 32


class Frame(NamedTuple):
    """Frame as its header describes it.

    Attributes:
        n_bytes: length of the frame.
        kind: properties common to all frames of a stream: version, layer, rate, and True if mono.
        rate_hz: sample rate.
        n_samples: samples per channel.
        xing_offset: offset in the frame at which a Xing header would begin.
    """

    n_bytes: int
    kind: tuple[int, int, int, bool]
    rate_hz: int
    n_samples: int
    xing_offset: int


class Streams(NamedTuple):
    """MPEG streams of a file, or of a part of one.

    Attributes:
        parts: one part for each stream, in order.
        warnings: descriptions of what is missing or was left out.
    """

    parts: list[Part]
    warnings: list[str]


class _Run(NamedTuple):
    start: int
    stop: int
    n_frames: int
    first: Frame


def parse_frame(head: bytes) -> Frame | None:
    """Parse the header of a frame; None if `head` does not begin with one, or if its bit rate is "free"."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    version, layer = (head[1] >> 3) & 3, 4 - ((head[1] >> 1) & 3)
    bit_rate_index, rate_index, padding = head[2] >> 4, (head[2] >> 2) & 3, (head[2] >> 1) & 1
    # Reserved values. A bit rate of 0 is "free": the header then does not give the length of the frame.
    if version == 1 or layer == 4 or bit_rate_index in (0, 15) or rate_index == 3:
        return None
    is_mpeg1 = version == 3
    kbit_rate = _KBIT_RATES[1 if is_mpeg1 else 2, layer][bit_rate_index - 1]
    rate_hz = _RATES_HZ[version][rate_index]
    is_mono = head[3] >> 6 == 3
    if layer == 1:
        # Layer 1 is padded by a slot of 4 bytes, the other layers by 1 byte.
        n_samples, n_bytes = 384, (12 * kbit_rate * 1000 // rate_hz + padding) * 4
    else:
        n_samples = 576 if layer == 3 and not is_mpeg1 else 1152
        n_bytes = n_samples // 8 * kbit_rate * 1000 // rate_hz + padding
    # Layer 3 has side information behind the 4 bytes of the header; a Xing header follows it.
    n_side_bytes = (17 if is_mono else 32) if is_mpeg1 else (9 if is_mono else 17)
    return Frame(n_bytes, (version, layer, rate_hz, is_mono), rate_hz, n_samples, 4 + n_side_bytes)


def find_streams(file: FileBytes, start: int, stop: int) -> Streams:
    """Find the streams between two offsets; a stream has at least a few consecutive frames.

    Raises:
        OSError: the file cannot be read.
    """
    parts: list[Part] = []
    warnings: list[str] = []
    n_junk_bytes, end = 0, _skip_tags(file, start, stop)
    for run in _runs(file, end, stop):
        # Tags between two streams are expected: only what follows them is junk.
        n_junk_bytes += run.start - _skip_tags(file, end, stop) if run.start > end else 0
        part, n_missing_frames = _part_of(file, run)
        if part is not None:
            parts.append(part)
        if n_missing_frames > 1:
            missing_s = n_missing_frames * run.first.n_samples / run.first.rate_hz
            warnings.append(f"truncated: the header promises {missing_s:.1f} s more than the file holds")
        end = run.stop
    if parts:
        tail = _skip_tags(file, end, stop)
        if tail < stop and parse_frame(file.at(tail, 4)) and not warnings:
            warnings.append("truncated: the last frame is not whole")
        n_junk_bytes += stop - tail
        if n_junk_bytes > MAX_JUNK_BYTES:
            warnings.append(f"{n_junk_bytes} bytes are no sound that is known, and were left out")
    return Streams(parts, warnings)


def first_frame(file: FileBytes, start: int) -> int | None:
    """Return the offset of the first consecutive frames, for a file with its beginning cut off; None if far away.

    Raises:
        OSError: the file cannot be read.
    """
    stop = min(start + MAX_JUNK_BYTES, file.size)
    while start < stop:
        if _begins_run(file, start, file.size):
            return start
        start = file.find(b"\xff", start + 1, stop)
    return None


def skip_id3(file: FileBytes, offset: int) -> int:
    """Return the offset after an ID3v2 tag at `offset`; `offset` if there is none."""
    head = file.at(offset, _ID3V2_HEADER_BYTES)
    if len(head) < _ID3V2_HEADER_BYTES or head[:3] != b"ID3" or max(head[6:10]) >= 0x80:
        return offset
    # The size has 7 bits per byte, so that it never contains a frame sync.
    n_bytes = sum(byte << 7 * (3 - place) for place, byte in enumerate(head[6:10]))
    # A footer repeats the header, and is not included in the size.
    n_footer_bytes = _ID3V2_HEADER_BYTES if head[5] & 0x10 else 0
    return offset + _ID3V2_HEADER_BYTES + n_bytes + n_footer_bytes


def _runs(file: FileBytes, offset: int, stop: int) -> Iterator[_Run]:
    """Yield runs of consecutive frames of one kind, with a Xing header in the first frame or none."""
    while (offset := _next_run(file, offset, stop)) < stop:
        run = _run_at(file, offset, stop)
        if run is None:
            return
        yield run
        offset = run.stop


def _run_at(file: FileBytes, start: int, stop: int) -> _Run | None:
    first = parse_frame(file.at(start, 4))
    if first is None:
        return None
    offset, n_frames = start, 0
    while True:
        head = file.at(offset, _HEAD_BYTES)
        frame = parse_frame(head)
        is_end = frame is None or frame.kind != first.kind or offset + frame.n_bytes > stop
        # A Xing header in a later frame begins a stream that was appended.
        if frame is None or is_end or (n_frames and _has_info(head, frame)):
            return _Run(start, offset, n_frames, first)
        offset += frame.n_bytes
        n_frames += 1


def _next_run(file: FileBytes, offset: int, stop: int) -> int:
    """Return the offset of the next run of frames; `stop` if there is none."""
    offset = _skip_tags(file, offset, stop)
    while offset < stop:
        if _begins_run(file, offset, stop):
            return offset
        offset = file.find(b"\xff", offset + 1, stop)
    return stop


def _begins_run(file: FileBytes, offset: int, stop: int) -> bool:
    """Return whether several frames of one kind begin at `offset`, fewer at the end."""
    # Two sync bytes are common in noise and in other data, so one frame proves nothing.
    kind = None
    for n_frames in range(_N_FIRST_FRAMES):
        frame = parse_frame(file.at(offset, 4))
        if frame is None or (kind and frame.kind != kind):
            return n_frames > 1 and offset == stop
        kind = frame.kind
        offset += frame.n_bytes
        if offset > stop:
            return n_frames > 0
    return True


def _skip_tags(file: FileBytes, offset: int, stop: int) -> int:
    """Return the offset after the tags at `offset`; tags may be longer than a decoder skips."""
    while offset < stop:
        end = skip_id3(file, offset)
        head = file.at(offset, _APE_BYTES)
        if head[:3] == b"TAG":
            end = offset + _ID3V1_BYTES
        elif head[:8] == b"APETAGEX" and len(head) == _APE_BYTES:
            # The size excludes the header but includes the footer.
            end = offset + _APE_BYTES + (int.from_bytes(head[12:16], "little") if head[23] & 0x20 else 0)
        if end == offset:
            break
        offset = end
    return min(offset, stop)


def _has_info(head: bytes, frame: Frame) -> bool:
    tag = head[frame.xing_offset : frame.xing_offset + 4]
    return frame.kind[1] == 3 and (tag in (b"Xing", b"Info") or head[36:40] == b"VBRI")


def _part_of(file: FileBytes, run: _Run) -> tuple[Part | None, int]:
    """Return the part that the frames of `run` form, and the number of frames missing by its header."""
    head = file.at(run.start, _HEAD_BYTES)
    if not _has_info(head, run.first):
        return Part(run.start, run.stop, (), True, run.n_frames * run.first.n_samples), 0
    # The frame with the Xing header has no sound.
    n_frames = run.n_frames - 1
    if n_frames == 0:
        return None, 0
    offset = run.first.xing_offset
    tag, flags, n_claimed = struct.unpack_from(">4sII", head, offset)
    # A VBRI header has other fields in these places.
    if tag == b"VBRI":
        tag, flags = b"", 0
    if tag not in (b"Xing", b"Info") or not flags & 1 or n_claimed == 0:
        # The header frame gives no length: skip it and treat the rest as a stream without header.
        return Part(run.start + run.first.n_bytes, run.stop, (), True, n_frames * run.first.n_samples), 0
    # Correct the numbers of frames and bytes, which are often wrong after cutting, or after tags were added.
    patches = [(run.start + offset + 8, struct.pack(">I", n_frames))]
    if flags & 2:
        patches.append((run.start + offset + 12, struct.pack(">I", run.stop - run.start)))
    return Part(run.start, run.stop, tuple(patches)), max(0, n_claimed - n_frames)
