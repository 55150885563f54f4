"""Parts of a file as files of their own, for a decoder that would misread the whole."""

from __future__ import annotations

import os
from typing import NamedTuple

_ENDLESS_BYTES = 2**44
_TAG_BYTES = 128
_WINDOW_BYTES = 65536


class Part(NamedTuple):
    """A stretch of a file that one decoder reads from its beginning to its end.

    Attributes:
        start: offset of its first byte.
        stop: offset of the byte after its last.
        patches: bytes that the decoder finds in place of others, each with its offset in the file.
        is_endless: True to hide from the decoder how long the part is. An MP3 decoder guesses the number of
            samples from it where no header gives one, and reads no further than its guess.
        n_samples: how many samples each channel has, if that was counted.
    """

    start: int
    stop: int
    patches: tuple[tuple[int, bytes], ...] = ()
    is_endless: bool = False
    n_samples: int | None = None


def read_at(fd: int, offset: int, n_bytes: int) -> bytes:
    """Read `n_bytes` at `offset`, fewer at the end of the file.

    Not `os.pread`, which Windows lacks; nobody else moves the position of a descriptor that is ours alone.

    Raises:
        OSError: the disk failed.
    """
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, n_bytes)


class FileBytes:
    """Random access to the bytes of an open file.

    Args:
        fd: descriptor of a regular file, which stays the caller's.

    Attributes:
        size: length of the file (bytes).
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size = os.fstat(fd).st_size
        self._window, self._window_offset = b"", 0

    def at(self, offset: int, n_bytes: int) -> bytes:
        """Read `n_bytes` at `offset`, fewer at the end of the file.

        Raises:
            OSError: the disk failed.
        """
        first = offset - self._window_offset
        if n_bytes > _WINDOW_BYTES:
            return read_at(self.fd, offset, n_bytes)
        if first < 0 or first + n_bytes > len(self._window):
            # Headers are read in order: few of them need a call of their own.
            self._window, self._window_offset, first = read_at(self.fd, offset, _WINDOW_BYTES), offset, 0
        return self._window[first : first + n_bytes]

    def find(self, pattern: bytes, start: int, stop: int) -> int:
        """Return the first offset of `pattern` from `start` on, or `stop` if there is none."""
        n_window = 2**20
        for offset in range(start, stop, n_window):
            found = self.at(offset, min(n_window + len(pattern) - 1, stop - offset)).find(pattern)
            if found >= 0:
                return offset + found
        return stop


class PartFile:
    """A part of a file in the form that `soundfile` reads from; a disk error ends it and is kept.

    Args:
        fd: descriptor of the file.
        part: which part.

    Attributes:
        error: what the operating system said when reading failed, None if it did not. Nothing can be
            raised here: the caller is a C library.
    """

    def __init__(self, fd: int, part: Part) -> None:
        self._fd = fd
        self._part = part
        self._n_bytes = _ENDLESS_BYTES if part.is_endless else part.stop - part.start
        self._position = 0
        self.error: OSError | None = None

    def head(self, n_bytes: int) -> bytes:
        """Return the first bytes of the part; none if the disk fails."""
        try:
            return read_at(self._fd, self._part.start, min(n_bytes, self._part.stop - self._part.start))
        except OSError:
            return b""

    def tell(self) -> int:
        """Return the position in the part (bytes)."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to `offset` from the beginning, the position or the end; return the new position."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._n_bytes}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` from the position on; return how many bytes there were."""
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _read(self, n_bytes: int) -> bytes:
        offset = self._part.start + self._position
        if self._part.is_endless and self._position >= self._n_bytes - _TAG_BYTES:
            # The decoder looks for a tag at the end before it begins, and must find something to read.
            return bytes(min(n_bytes, self._n_bytes - self._position))
        try:
            data = read_at(self._fd, offset, max(0, min(n_bytes, self._part.stop - offset)))
        except OSError as error:
            self.error = error
            return b""
        return self._patched(data, offset)

    def _patched(self, data: bytes, offset: int) -> bytes:
        for at, patch in self._part.patches:
            first, last = max(at, offset), min(at + len(patch), offset + len(data))
            if first < last:
                data = data[: first - offset] + patch[first - at : last - at] + data[last - offset :]
        return data
