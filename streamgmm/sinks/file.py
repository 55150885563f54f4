"""Write records to a file: whole lines only, also across rotation and on a full disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Unpack

from streamgmm.errors import ConfigError, StreamgmmError
from streamgmm.sinks.appending import append_whole, is_at, open_for_appending
from streamgmm.sinks.push import PushOptions, PushSink
from streamgmm.sinks.stdout import write_error


class FileSink(PushSink):
    """Append lines to a file.

    Each write first checks that the open file is still the one at the path: after a rotation by rename, the line goes
    to a new file. A rotation by copy and truncate needs no check, as every write appends. Rotation neither loses nor
    splits a record. While the disk is full or the directory is missing, the sink retries.

    Args:
        uri: `file://PATH`.
        options: see `PushOptions`. If the source can wait, a file that cannot be written ends the run.

    Raises:
        ConfigError: the URI contains no valid path.
    """

    def __init__(self, uri: str, **options: Unpack[PushOptions]) -> None:
        super().__init__(uri, **options)
        self._path = _parse_path(uri)
        self._fd: int | None = None
        self._is_stale = False

    def reopen(self) -> None:
        """Open the path again before the next line, and retry at once after a failure; from any thread."""
        with self._changed:
            self._is_stale = self._is_retry_wanted = True
            self._changed.notify_all()

    def claim(self) -> None:
        """Open the file."""
        try:
            self._fd = open_for_appending(self._path)
        except OSError as error:
            raise self.failure_of(error) from error

    def deliver(self, undelivered: bytearray) -> None:
        """Append the line to the file that is currently at the path."""
        # All or nothing: a write that fails leaves no part in the file, so the whole line is kept for the next attempt.
        append_whole(self._current_fd(), bytes(undelivered))
        undelivered.clear()

    def may_heal(self, error: OSError | StreamgmmError) -> bool:
        """Return whether the source is live; one that can wait ends the run instead."""
        return self._is_live

    def release(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
        self._fd = None

    def failure_of(self, error: OSError) -> StreamgmmError:
        """Return an error that names the file."""
        return write_error(error, str(self._path))

    def _current_fd(self) -> int:
        # None after an attempt that could not open the path again.
        if self._fd is None or self._is_stale or not is_at(self._fd, self._path):
            # Cleared before the file is opened, so that a request that comes meanwhile opens it once more.
            self._is_stale = False
            self.release()
            self._fd = open_for_appending(self._path)
        return self._fd


def _parse_path(uri: str) -> Path:
    path = uri.removeprefix("file://")
    if not Path(path).name or path.endswith("/") or not path.isprintable():
        raise ConfigError([f"output.sinks: {uri!r} is not of the form file://PATH"])
    return Path(path)
