"""Records to standard output, from a thread of its own: a reader that stops reading stops nothing else."""

from __future__ import annotations

import errno
import os
import select
import sys

from streamgmm.config import TextFormat
from streamgmm.errors import ConfigError, OutputError, StreamgmmError
from streamgmm.sinks.lines import LineSink
from streamgmm.sinks.sink import PipeClosedError

STDOUT_FD = 1


class StdoutSink(LineSink):
    """Lines to a file descriptor.

    Args:
        text_format: what a line looks like.
        max_records: records kept for a slow reader.
        is_live: whether to lose the records of a slow reader instead of waiting for it (see `LineSink`).
        fd: the descriptor to write to; it stays open.
    """

    def __init__(
        self,
        *,
        text_format: TextFormat = "jsonl",
        max_records: int = 1024,
        is_live: bool = True,
        fd: int = STDOUT_FD,
    ) -> None:
        super().__init__("stdout:", text_format=text_format, max_records=max_records, is_live=is_live)
        self._fd = fd

    def _claim(self) -> None:
        if not _is_open(self._fd):
            raise ConfigError(["output.sinks: stdout is closed; redirect it, or choose another sink"])

    def _write(self, line: bytes) -> bool:
        unwritten = memoryview(line)
        while unwritten:
            try:
                unwritten = unwritten[os.write(self._fd, unwritten) :]
            except BlockingIOError:
                # Whoever shares this pipe made it non-blocking.
                select.select([], [self._fd], [])
        return True

    def _failure(self, error: OSError) -> StreamgmmError:
        if error.errno == errno.EPIPE:
            return PipeClosedError("nobody reads it any more", where="stdout")
        return write_error(error, "stdout")


def write_error(error: OSError, where: str) -> OutputError:
    """What to tell of an output that takes nothing more."""
    hint = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
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
