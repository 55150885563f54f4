"""Standard streams that survive a full disk or a closed pipe, so that the work they report on is finished."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class EnduringStream:
    """A text stream that stores its first failure instead of raising it, and discards everything after it.

    Args:
        stream: where to write.

    Attributes:
        failure: the first error; None if there was none.
    """

    def __init__(self, stream: TextIO) -> None:
        self.failure: OSError | None = None
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        # Everything except writing is delegated: encoding, descriptor, isatty.
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text` unless writing has failed before."""
        with self._noting_failure():
            if self.failure is None:
                self._stream.write(text)
        # As if all was written, so that the caller continues its work.
        return len(text)

    def flush(self) -> None:
        """Flush buffered text unless writing has failed before."""
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
    """Replace stderr by a stream whose failures do not raise; yield it, or None without stderr."""
    before = sys.stderr
    stream = None if before is None else EnduringStream(before)
    sys.stderr = stream
    try:
        yield stream
    finally:
        sys.stderr = before


@contextlib.contextmanager
def enduring_stdout() -> Iterator[None]:
    """Replace stdout by a stream whose failures raise only after the work is done.

    Raises:
        OSError: writing failed during the work, which is complete.
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
    """Discard what is buffered for `stream`: another failing flush at exit would change the exit code."""
    with contextlib.suppress(OSError, ValueError):
        if stream is not None:
            null = os.open(os.devnull, os.O_WRONLY)
            # The buffer cannot be emptied, but what it holds now goes to /dev/null.
            os.dup2(null, stream.fileno())
            os.close(null)


def fill_closed_outputs() -> None:
    """Open /dev/null in place of stdout and stderr if they are closed.

    Otherwise the next file that is opened would get the descriptor of a closed stderr, and warnings of a library would
    be written into that file, for example into a model.
    """
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            if not _is_descriptor_open(descriptor):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                # `open` takes the lowest free number, which may be this one.
                if null != descriptor:
                    os.close(null)


def _is_descriptor_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
