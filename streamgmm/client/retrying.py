"""When a subscriber connects again, and after which failures it gives up."""

from __future__ import annotations

import random
from collections.abc import Callable

from streamgmm.client.address import connection_error
from streamgmm.client.conversation import TokenRefusedError
from streamgmm.errors import NotRunningError, StreamgmmError

FIRST_WAIT_S = 0.25
"""Wait before the first new attempt (s); each further one waits twice as long."""

OnLost = Callable[[StreamgmmError, float], None]
"""Called when a connection is lost or a new attempt fails, with the reason and the time until the next attempt (s)."""


class StreamEndedError(NotRunningError):
    """The daemon has ended the connection."""


class Retrying:
    """Decide what follows a failure: another attempt after a growing wait, the end, or an error.

    Failures before the first record are errors: they are mistakes in the address or the token, which waiting would
    hide.

    Args:
        uri: address of the daemon, for messages.
        reconnect: whether to connect again at all.
        max_wait_s: longest wait between two attempts (s).
        on_lost: receives each failure that is followed by another attempt.
    """

    def __init__(self, uri: str, *, reconnect: bool, max_wait_s: float, on_lost: OnLost | None) -> None:
        self._uri = uri
        self._reconnect = reconnect
        self._max_wait_s = max_wait_s
        self._on_lost = on_lost
        self._has_records = False
        self._next_wait_s = FIRST_WAIT_S

    def note_record(self) -> None:
        """Note that a record was received: the daemon is there, and the waits begin from the shortest."""
        self._has_records = True
        self._next_wait_s = FIRST_WAIT_S

    def wait_after(self, failure: OSError | StreamgmmError) -> float | None:
        """Return the time to wait before the next attempt (s); None if the stream has ended.

        Raises:
            StreamgmmError: there is no further attempt, and `failure` is not the end of a stream.
        """
        error = connection_error(failure, self._uri) if isinstance(failure, OSError) else failure
        if self._has_records and not self._reconnect and isinstance(error, StreamEndedError):
            return None
        if not self._has_records or not self._reconnect or isinstance(error, TokenRefusedError):
            raise error from (failure if failure is not error else None)
        # Shortened at random, so that the clients of a daemon that restarts do not all come at the same moment.
        wait_s = min(self._next_wait_s, self._max_wait_s) * random.uniform(0.5, 1.0)
        self._next_wait_s = min(2.0 * self._next_wait_s, self._max_wait_s)
        if self._on_lost is not None:
            self._on_lost(error, wait_s)
        return wait_s

    def ended(self) -> StreamEndedError:
        """Return the failure of a connection that the daemon has ended."""
        what = "the daemon has ended the connection" if self._has_records else "the connection ended before a record"
        return StreamEndedError(what, where=self._uri)
