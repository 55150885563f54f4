"""Views of parts of a file as separate files, for decoders that would misread the whole file."""

from __future__ import annotations

import os
from typing import NamedTuple

# Longer than any recording.
_ENDLESS_BYTES = 2**44
# An ID3v1 tag, which is always at the end of a file.
_TAG_BYTES = 128
_WINDOW_BYTES = 65536


class Part(NamedTuple):
    """Range of a file that one decoder reads from beginning to end.

    Attributes:
        start: offset of the first byte.
        stop: offset after the last byte.
        patches: replacement bytes that the decoder reads, each with its offset in the file.
        is_endless: True to hide the length of the part from the decoder. Without a header, an MP3 decoder estimates the
            number of samples from the length, and stops there.
        n_samples: number of samples per channel, if counted.
    """

    start: int
    stop: int
    patches: tuple[tuple[int, bytes], ...] = ()
    is_endless: bool = False
    n_samples: int | None = None


def read_at(fd: int, offset: int, n_bytes: int) -> bytes:
    """Read `n_bytes` at `offset`, or fewer at the end of the file.

    Raises:
        OSError: the file cannot be read.
    """
    # Not `os.pread`, which Windows lacks; no other thread moves the position of this descriptor.
    # Several decoders share the descriptor, so that its position before a read is arbitrary.
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, n_bytes)


class FileBytes:
    """Random access to the bytes of an open file.

    Args:
        fd: descriptor of a regular file; the caller keeps it and closes it.

    Attributes:
        size: length of the file (bytes).
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size = os.fstat(fd).st_size
        self._window, self._window_offset = b"", 0

    def at(self, offset: int, n_bytes: int) -> bytes:
        """Read `n_bytes` at `offset`, or fewer at the end of the file.

        Raises:
            OSError: the file cannot be read.
        """
        first = offset - self._window_offset
        # Large reads are searches through the sound, which no window would serve twice.
        if n_bytes > _WINDOW_BYTES:
            return read_at(self.fd, offset, n_bytes)
        if first < 0 or first + n_bytes > len(self._window):
            # Headers are read in order, so one system call serves many of them.
            self._window, self._window_offset, first = read_at(self.fd, offset, _WINDOW_BYTES), offset, 0
        return self._window[first : first + n_bytes]

    def find(self, pattern: bytes, start: int, stop: int) -> int:
        """Return the offset of the first `pattern` between `start` and `stop`; `stop` if there is none."""
        n_window = 2**20
        for offset in range(start, stop, n_window):
            # Windows overlap by the pattern less one byte, else one across their border would be missed.
            found = self.at(offset, min(n_window + len(pattern) - 1, stop - offset)).find(pattern)
            if found >= 0:
                return offset + found
        return stop


class PartFile:
    """File-like object for `soundfile` that reads a part of a file; a read error ends the part and is kept.

    Args:
        fd: descriptor of the file.
        part: part of the file to read.

    Attributes:
        error: error of the operating system when reading failed; None if it did not. It cannot be raised,
            because the caller is a C library.
    """

    def __init__(self, fd: int, part: Part) -> None:
        self._fd = fd
        self._part = part
        self._n_bytes = _ENDLESS_BYTES if part.is_endless else part.stop - part.start
        self._position = 0
        self.error: OSError | None = None

    def head(self, n_bytes: int) -> bytes:
        """Return the first bytes of the part; none if the file cannot be read."""
        try:
            return read_at(self._fd, self._part.start, min(n_bytes, self._part.stop - self._part.start))
        except OSError:
            return b""

    def tell(self) -> int:
        """Return the position in the part (bytes)."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to `offset` from the beginning, the current position or the end, and return the new position."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._n_bytes}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:
        """Read into `buffer` from the current position, and return the number of bytes."""
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _read(self, n_bytes: int) -> bytes:
        offset = self._part.start + self._position
        if self._part.is_endless and self._position >= self._n_bytes - _TAG_BYTES:
            # The decoder first looks for a tag at the end, and would fail if it could not read there: return zeros.
            return bytes(min(n_bytes, self._n_bytes - self._position))
        try:
            data = read_at(self._fd, offset, max(0, min(n_bytes, self._part.stop - offset)))
        except OSError as error:
            self.error = error
            return b""
        return self._patched(data, offset)

    def _patched(self, data: bytes, offset: int) -> bytes:
        for at, patch in self._part.patches:
            # A decoder reads in blocks of its own, so a patch may lie across the border of two.
            first, last = max(at, offset), min(at + len(patch), offset + len(data))
            if first < last:
                data = data[: first - offset] + patch[first - at : last - at] + data[last - offset :]
        return data
