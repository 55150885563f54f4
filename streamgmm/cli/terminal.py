"""Controlling terminal of the process, which may be closed while the program runs."""

from __future__ import annotations

import os


class Terminal:
    """Controlling terminal of this process at construction, if there is one (credentials(7), tty(4)).

    When a window, an ssh connection or the session of a terminal multiplexer is closed, the process loses its terminal
    and receives SIGHUP. A process started by `setsid`, by systemd or in a container has no terminal.
    """

    def __init__(self) -> None:
        self._was_there = _is_there()

    def is_closed(self) -> bool:
        """Return whether there was a terminal at construction, and there is none now."""
        return self._was_there and not _is_there()


def _is_there() -> bool:
    try:
        # Fails with ENXIO in a process without a controlling terminal. O_NOCTTY: asking must not acquire one.
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
