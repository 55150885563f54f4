"""Records to standard output, from a thread of its own: a reader that stops reading stops nothing else."""

from __future__ import annotations

import errno
import os
import select
import sys
from typing import Unpack

from streamgmm.errors import ConfigError, OutputError, StreamgmmError
from streamgmm.sinks.push import PushOptions, PushSink
from streamgmm.sinks.sink import PipeClosedError

STDOUT_FD = 1

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a full disk answers, a quota that is used up, and a file that may not become larger."""


class StdoutSink(PushSink):
    """Lines to a file descriptor.

    Args:
        is_alone: whether there is no other sink; a full disk then ends the run instead of being waited for.
        fd: the descriptor to write to; it stays open.
        options: see `PushOptions`.
    """

    def __init__(self, *, is_alone: bool = True, fd: int = STDOUT_FD, **options: Unpack[PushOptions]) -> None:
        super().__init__("stdout:", **options)
        self._is_alone = is_alone
        self._fd = fd

    def claim(self) -> None:
        """Refuse a descriptor that is closed."""
        if not _is_open(self._fd):
            raise ConfigError(["output.sinks: stdout is closed; redirect it, or choose another sink"])

    def deliver(self, undelivered: bytearray) -> None:
        """Write the line; a reader that is slow blocks the thread."""
        while undelivered:
            try:
                del undelivered[: os.write(self._fd, undelivered)]
            except BlockingIOError:
                # Whoever shares this pipe made it non-blocking.
                select.select([], [self._fd], [])

    def may_heal(self, error: OSError | StreamgmmError) -> bool:
        """Wait for a full disk, unless the source waits too or there is no other sink."""
        is_full = isinstance(error, OSError) and error.errno in FULL
        return is_full and self._is_live and not self._is_alone

    def failure_of(self, error: OSError) -> StreamgmmError:
        """Tell a reader that has gone from an output that takes nothing."""
        if error.errno == errno.EPIPE:
            return PipeClosedError("nobody reads it any more", where="stdout")
        return write_error(error, "stdout")


def write_error(error: OSError, where: str) -> OutputError:
    """Return the error of an output that takes nothing more."""
    hint = "free some space" if error.errno in FULL else ""
    return OutputError(f"cannot write: {os.strerror(error.errno or 0)}", where=where, hint=hint)


def _is_open(fd: int) -> bool:
    # With `>&-` Python starts without sys.stdout, and the next file or socket to be opened may get
    # descriptor 1: labels written there would end up inside it.
    if fd == STDOUT_FD and sys.__stdout__ is None:
        return False
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
