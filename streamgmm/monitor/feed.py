"""Where the records that are watched come from."""

from __future__ import annotations

from typing import Protocol

from streamgmm.client import Record, connect
from streamgmm.errors import StreamgmmError

MAX_WAIT_S = 5.0
"""Longest wait before another attempt to connect (s): somebody is waiting in front of the screen."""


class Viewer(Protocol):
    """Shows records to somebody."""

    def apply(self, record: Record) -> None:
        """Take in a record."""

    def lose(self, reason: str, wait_s: float) -> None:
        """Take in that the connection is lost, until the next attempt in `wait_s` seconds at least."""


class Feed(Protocol):
    """Passes records to a viewer."""

    def run(self) -> None:
        """Pass records on until they end or `stop` is called.

        Raises:
            StreamgmmError: nothing follows because of a failure.
        """

    def stop(self) -> None:
        """End `run`; from any thread."""


class DaemonFeed:
    """The records of a running daemon, over all its restarts.

    Args:
        uri: address of its socket.
        token: token to send; None for none.
        viewer: gets the records.

    Raises:
        StreamgmmError: no daemon answers there.
    """

    def __init__(self, uri: str, token: bytes | None, viewer: Viewer) -> None:
        self._viewer = viewer
        self._records = connect(uri, token=token, max_wait_s=MAX_WAIT_S, on_lost=self._lose)

    def run(self) -> None:
        """Pass records on until `stop` is called.

        Raises:
            StreamgmmError: what answers is not a daemon, or refuses the token.
        """
        for record in self._records:
            self._viewer.apply(record)

    def stop(self) -> None:
        """Disconnect."""
        self._records.close()

    def _lose(self, error: StreamgmmError, wait_s: float) -> None:
        self._viewer.lose(error.what, wait_s)
