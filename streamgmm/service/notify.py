"""What systemd is told, by its datagram protocol (sd_notify(3)); nothing where there is no systemd."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

SEND_TIMEOUT_S = 0.5
"""Most that a message may wait for a manager that is too busy to take it; then it is given up."""


class Notifier:
    """Sends the messages of one process to the manager that started it.

    Args:
        address: path of its datagram socket, or `@name` for an abstract one; None sends nothing.
        watchdog_s: within how many seconds the manager wants each sign of life; None if it wants none.
    """

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self._address = address
        self.watchdog_s = watchdog_s if address else None

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] = os.environ) -> Notifier:
        """The notifier that NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID ask for.

        They are taken out of `environ`: a child process must not speak in the name of this one.
        """
        address = environ.pop("NOTIFY_SOCKET", None)
        watchdog_usec = environ.pop("WATCHDOG_USEC", "")
        watchdog_pid = environ.pop("WATCHDOG_PID", str(os.getpid()))
        is_watched = watchdog_pid == str(os.getpid()) and watchdog_usec.isdecimal() and int(watchdog_usec) > 0
        return cls(address or None, int(watchdog_usec) / 1e6 if is_watched else None)

    def ready(self) -> bool:
        """Started, or done with reloading; returns whether that was sent."""
        return self._send("READY=1")

    def status(self, text: str) -> bool:
        """One line for `systemctl status`."""
        line = "".join(c if c.isprintable() else " " for c in text)
        return self._send(f"STATUS={line}")

    def reloading(self) -> bool:
        """Begins to reload; `ready` tells the end of it."""
        # Since systemd 253 `Type=notify-reload` tells by the time whose reload this is.
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> bool:
        """Begins to end."""
        return self._send("STOPPING=1")

    def watchdog(self) -> bool:
        """A sign of life."""
        return self._send("WATCHDOG=1")

    def _send(self, message: str) -> bool:
        if self._address is None:
            return False
        # An abstract address begins with a zero byte, for which the environment has no sign (unix(7)).
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(SEND_TIMEOUT_S)
                sender.sendto(message.encode("utf-8", "backslashreplace"), address)
        except OSError:
            # A manager that is gone or stuck is no reason to stop listening.
            return False
        return True
