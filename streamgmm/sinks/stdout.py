"""Records to standard output, from a thread of its own: a reader that stops reading stops nothing else."""

from __future__ import annotations

import errno
import os
import select
import sys

from streamgmm.config import TextFormat
from streamgmm.errors import ConfigError, OutputError, StreamgmmError
from streamgmm.sinks.lines import RETRY_S, LineSink
from streamgmm.sinks.selection import Selection
from streamgmm.sinks.sink import PipeClosedError

STDOUT_FD = 1

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a full disk answers, a quota that is used up, and a file that may not become larger."""


class StdoutSink(LineSink):
    """Lines to a file descriptor.

    Args:
        text_format: what a line looks like.
        max_records: records kept for a slow reader.
        is_live: whether to lose the records of a slow reader instead of waiting for it (see `LineSink`).
        is_alone: whether there is no other sink; a full disk then ends the run instead of being waited for.
        fd: the descriptor to write to; it stays open.
        retry_s: from one attempt to the next while the disk is full (seconds).
        selection: the records that it gets; None: all.
    """

    def __init__(
        self,
        *,
        text_format: TextFormat = "jsonl",
        max_records: int = 1024,
        is_live: bool = True,
        is_alone: bool = True,
        fd: int = STDOUT_FD,
        retry_s: float = RETRY_S,
        selection: Selection | None = None,
    ) -> None:
        super().__init__(
            "stdout:",
            text_format=text_format,
            max_records=max_records,
            is_live=is_live,
            retry_s=retry_s,
            selection=selection,
        )
        self._is_alone = is_alone
        self._fd = fd

    def _claim(self) -> None:
        if not _is_open(self._fd):
            raise ConfigError(["output.sinks: stdout is closed; redirect it, or choose another sink"])

    def _write(self) -> None:
        while self._unwritten:
            try:
                self._unwritten = self._unwritten[os.write(self._fd, self._unwritten) :]
            except BlockingIOError:
                # Whoever shares this pipe made it non-blocking.
                select.select([], [self._fd], [])

    def _may_heal(self, error: OSError | StreamgmmError) -> bool:
        is_full = isinstance(error, OSError) and error.errno in FULL
        return is_full and self._is_live and not self._is_alone

    def _failure(self, error: OSError) -> StreamgmmError:
        if error.errno == errno.EPIPE:
            return PipeClosedError("nobody reads it any more", where="stdout")
        return write_error(error, "stdout")


def write_error(error: OSError, where: str) -> OutputError:
    """What to tell of an output that takes nothing more."""
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
