"""Byte stream with lookahead: peek at bytes before taking them."""

from __future__ import annotations

from collections.abc import Callable


class ByteStream:
    """Join chunks of bytes of any length into one stream with lookahead.

    Args:
        read: waits for the next bytes and returns them; returns no bytes at the end.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._kept = b""
        self._is_at_end = False

    def peek(self, n_bytes: int) -> bytes:
        """Return the next `n_bytes` without taking them, or fewer at the end."""
        while len(self._kept) < n_bytes and self._fetch():
            pass
        return self._kept[:n_bytes]

    def take(self, n_bytes: int, before: bytes = b"") -> bytes:
        """Take at most `n_bytes`, waiting only until at least one is there; return no bytes at the end.

        Args:
            n_bytes: largest number of bytes to take.
            before: stop in front of this mark, unless the stream begins with it; empty for no mark.
        """
        if not self._kept:
            self._fetch()
        n_bytes = min(n_bytes, self._place_of(before)) if before else n_bytes
        taken, self._kept = self._kept[:n_bytes], self._kept[n_bytes:]
        return taken

    def _place_of(self, mark: bytes) -> int:
        """Return the offset of `mark` after the first byte, or of its possible beginning at the end, else the end."""
        place = self._kept.find(mark, 1)
        if place > 0:
            return place
        # The mark may be cut between two reads: keep its beginning back until the rest is known.
        n_begun = (n for n in range(len(mark) - 1, 0, -1) if self._kept.endswith(mark[:n]))
        return len(self._kept) - next(n_begun, 0) or len(self._kept)

    def skip(self, n_bytes: int) -> None:
        """Take `n_bytes` and discard them, or fewer at the end."""
        while n_bytes > 0 and (taken := self.take(n_bytes)):
            n_bytes -= len(taken)

    def _fetch(self) -> bool:
        # The end is final: `read` is not called again, even if a further writer has opened a named pipe.
        data = b"" if self._is_at_end else self._read()
        self._is_at_end = not data
        self._kept += data
        return bool(data)
