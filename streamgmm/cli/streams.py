"""Output that fails, on a full disk or in a pipe without a reader, must not end the work that it reports on."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class EnduringStream:
    """A text stream that notes its first failure in place of raising it, and writes nothing from then on.

    Args:
        stream: where to write.

    Attributes:
        failure: what went wrong first; None if nothing did.
    """

    def __init__(self, stream: TextIO) -> None:
        self.failure: OSError | None = None
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        # Its encoding, its descriptor, whether it is a terminal: all but writing is that of the stream.
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text` unless writing has failed."""
        with self._noting_failure():
            if self.failure is None:
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what Python holds unless writing has failed."""
        with self._noting_failure():
            if self.failure is None:
                self._stream.flush()

    @contextlib.contextmanager
    def _noting_failure(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = error
            abandon(self._stream)


@contextlib.contextmanager
def enduring_stderr() -> Iterator[EnduringStream | None]:
    """Let nothing that is written to stderr fail; None if there is no stderr."""
    before = sys.stderr
    stream = None if before is None else EnduringStream(before)
    sys.stderr = stream
    try:
        yield stream
    finally:
        sys.stderr = before


@contextlib.contextmanager
def enduring_stdout() -> Iterator[None]:
    """Let nothing that is written to stdout fail until the work is done.

    Raises:
        OSError: writing has failed meanwhile; the work is done.
    """
    before = sys.stdout
    if before is None:
        yield
        return
    stream = EnduringStream(before)
    sys.stdout = stream
    try:
        yield
        stream.flush()
    finally:
        sys.stdout = before
    if stream.failure is not None:
        raise stream.failure


def abandon(stream: TextIO | None) -> None:
    """Send what Python still holds for `stream` nowhere, or its last flush fails again and changes the exit code."""
    with contextlib.suppress(OSError, ValueError):
        if stream is not None:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)


def fill_closed_outputs() -> None:
    """Open /dev/null in the place of stdout and stderr where these are closed.

    The next file to be opened would get the number of a closed stderr, and what a library complains of there would be
    written into it: into a model, for example.
    """
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            if not _is_open(descriptor):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                if null != descriptor:
                    os.close(null)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
