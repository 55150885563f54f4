"""Notifications to systemd by its datagram protocol (sd_notify(3)); no effect without systemd."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

SEND_TIMEOUT_S = 0.5
"""Longest wait for a manager that is too busy to receive a message (s); then the message is dropped."""


class Notifier:
    """Send notifications of this process to the service manager that started it.

    Args:
        address: path of the manager's datagram socket, or `@name` for an abstract one; None sends nothing.
        watchdog_s: longest interval between two keep-alive messages that the manager accepts (s); None if it expects
            none.
    """

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self._address = address
        self.watchdog_s = watchdog_s if address else None

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] = os.environ) -> Notifier:
        """Return the notifier that NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID describe.

        These variables are removed from `environ`, so that no child process sends messages on behalf of this one.
        """
        address = environ.pop("NOTIFY_SOCKET", None)
        watchdog_usec = environ.pop("WATCHDOG_USEC", "")
        watchdog_pid = environ.pop("WATCHDOG_PID", str(os.getpid()))
        is_watched = watchdog_pid == str(os.getpid()) and watchdog_usec.isdecimal() and int(watchdog_usec) > 0
        return cls(address or None, int(watchdog_usec) / 1e6 if is_watched else None)

    def ready(self) -> bool:
        """Report that the service has started or finished reloading; return whether the message was sent."""
        return self._send("READY=1")

    def status(self, text: str) -> bool:
        """Send the status line that `systemctl status` shows."""
        # A newline would begin another variable of the message.
        line = "".join(c if c.isprintable() else " " for c in text)
        return self._send(f"STATUS={line}")

    def reloading(self) -> bool:
        """Report that a reload begins; `ready` reports its end."""
        # With `Type=notify-reload` (systemd 253) the time shows which request this reload answers.
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> bool:
        """Report that the service begins to shut down."""
        return self._send("STOPPING=1")

    def watchdog(self) -> bool:
        """Send a keep-alive message to the watchdog of the manager."""
        return self._send("WATCHDOG=1")

    def _send(self, message: str) -> bool:
        if self._address is None:
            return False
        # An abstract address begins with a zero byte, which an environment variable cannot hold (unix(7)).
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(SEND_TIMEOUT_S)
                sender.sendto(message.encode("utf-8", "backslashreplace"), address)
        except OSError:
            # A manager that is gone or stuck must not stop the daemon.
            return False
        return True
