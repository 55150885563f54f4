"""The audio of a clip as an answer: whole or a range of bytes, so that browsers can seek."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

SEND_S = 60.0
"""Longest time for one answer (s); a browser that does not read is disconnected."""

PIECE_BYTES = 64 * 1024

_RANGE = re.compile(r"bytes=(?:(\d{1,15})-(\d{0,15})|-(\d{1,15}))", re.ASCII)


class ClipAudio(StreamingResponse):
    """Audio of an open file.

    Args:
        file: a regular file, which is closed in the end.
        wanted: the header `range`; empty: none.
        disconnect: ends the connection at once.
    """

    def __init__(self, file: BinaryIO, wanted: str, disconnect: Callable[[], None]) -> None:
        self._file, self._disconnect = file, disconnect
        n_bytes = os.fstat(file.fileno()).st_size
        code, begin, end = resolve_range(wanted, n_bytes)
        headers = {"accept-ranges": "bytes", "content-length": str(end - begin)}
        if code == 206:
            headers["content-range"] = f"bytes {begin}-{end - 1}/{n_bytes}"
        elif code == 416:
            headers["content-range"] = f"bytes */{n_bytes}"
        super().__init__(self._pieces(begin, end), code, headers, media_type="audio/flac")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the audio, within a bounded time."""
        with self._file:
            try:
                await asyncio.wait_for(super().__call__(scope, receive, send), SEND_S)
            except (TimeoutError, OSError, ClientDisconnect):
                # Part of it is sent: only an end of the connection shows that the rest is missing.
                self._disconnect()

    def _pieces(self, begin: int, end: int) -> Iterator[bytes]:
        self._file.seek(begin)
        while begin < end and (piece := self._file.read(min(PIECE_BYTES, end - begin))):
            begin += len(piece)
            yield piece


def open_clip(path: Path) -> BinaryIO:
    """Open a regular file, whatever has taken its place meanwhile.

    Raises:
        OSError: it is gone, is not a regular file, or may not be read.
    """
    # Neither a link to a file elsewhere, nor a pipe that blocks.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(path)
    return os.fdopen(descriptor, "rb")


def resolve_range(wanted: str, n_bytes: int) -> tuple[int, int, int]:
    """Return the status of an answer, its first byte, and the one after its last.

    All is sent if `wanted` is no single range (RFC 9110, 14.2), and nothing with 416 if it begins after the end.
    """
    match = _RANGE.fullmatch(wanted.replace(" ", ""))
    if match is None:
        return 200, 0, n_bytes
    first, last, n_last = match.groups()
    begin = max(0, n_bytes - int(n_last)) if n_last else int(first)
    end = min(n_bytes, int(last) + 1) if last else n_bytes
    if last and int(last) < int(first):
        return 200, 0, n_bytes
    return (206, begin, end) if begin < end else (416, 0, 0)
