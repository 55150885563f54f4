"""The terminal that a program was started on, which may be closed while it runs."""

from __future__ import annotations

import os


class Terminal:
    """The controlling terminal of this process, if it has one now (credentials(7), tty(4)).

    A closed window, a lost ssh connection and the end of a multiplexer's session take it away and send SIGHUP.
    A process of `setsid`, of systemd or of a container has none.
    """

    def __init__(self) -> None:
        self._was_there = _is_there()

    def is_closed(self) -> bool:
        """Return whether it was there and is no more."""
        return self._was_there and not _is_there()


def _is_there() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
