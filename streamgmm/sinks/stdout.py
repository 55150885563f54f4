"""Write records to standard output from a dedicated thread, so that a stalled reader blocks nothing else."""

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
"""Errors of a full disk, an exhausted quota and a file of maximum size."""


class StdoutSink(PushSink):
    """Write lines to a file descriptor.

    Args:
        is_alone: whether this is the only sink; a full disk then ends the run, otherwise the sink retries.
        fd: descriptor to write to; it stays open.
        options: see `PushOptions`.
    """

    # With many sources, a call for each line costs more than all else here. No more than a pipe takes whole, so that
    # lines of several writers do not mix.
    max_bytes_at_once = getattr(select, "PIPE_BUF", 512)

    def __init__(self, *, is_alone: bool = True, fd: int = STDOUT_FD, **options: Unpack[PushOptions]) -> None:
        super().__init__("stdout:", **options)
        self._is_alone = is_alone
        self._fd = fd

    def claim(self) -> None:
        """Reject a descriptor that is closed.

        Raises:
            ConfigError: stdout is closed.
        """
        if not _is_open(self._fd):
            raise ConfigError(["output.sinks: stdout is closed; redirect it, or choose another sink"])

    def deliver(self, undelivered: bytearray) -> None:
        """Write the line; a slow reader blocks the thread of this sink."""
        while undelivered:
            try:
                # A pipe may accept a part; the rest is kept, also for the attempt after an error.
                del undelivered[: os.write(self._fd, undelivered)]
            except BlockingIOError:
                # Another process that shares this pipe has made it non-blocking.
                select.select([], [self._fd], [])

    def may_heal(self, error: OSError | StreamgmmError) -> bool:
        """Return whether to retry: on a full disk, if the source is live and there are other sinks."""
        is_full = isinstance(error, OSError) and error.errno in FULL
        return is_full and self._is_live and not self._is_alone

    def failure_of(self, error: OSError) -> StreamgmmError:
        """Return `PipeClosedError` if the reader is gone, else the error of a failed write."""
        # Python ignores SIGPIPE, so a closed pipe appears as an error of the write.
        if error.errno == errno.EPIPE:
            return PipeClosedError("nobody reads it any more", where="stdout")
        return write_error(error, "stdout")


def write_error(error: OSError, where: str) -> OutputError:
    """Return the error of an output that cannot be written."""
    hint = "free some space" if error.errno in FULL else ""
    return OutputError(f"cannot write: {os.strerror(error.errno or 0)}", where=where, hint=hint)


def _is_open(fd: int) -> bool:
    # After `>&-` Python starts without sys.stdout, and the next file or socket that is opened may get descriptor 1:
    # records would be written into it.
    if fd == STDOUT_FD and sys.__stdout__ is None:
        return False
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
