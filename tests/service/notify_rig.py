"""A service manager for tests: a datagram socket that keeps what it is told."""

from __future__ import annotations

import socket
from pathlib import Path

TIMEOUT_S = 10.0


class Manager:
    """Listens at `address` in `directory`, or at an abstract address."""

    def __init__(self, directory: Path, *, is_abstract: bool = False) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = directory / "notify"
        self.address = f"@streamgmm-test-{directory.name}-{id(self)}" if is_abstract else str(path)
        self._socket.bind("\0" + self.address[1:] if is_abstract else self.address)
        self._socket.settimeout(TIMEOUT_S)

    def next(self) -> str:
        """The next message, waited for."""
        return self._socket.recv(65536).decode()

    def waiting(self) -> list[str]:
        """All messages that are there now."""
        messages = []
        self._socket.setblocking(False)
        try:
            while True:
                messages.append(self.next())
        except BlockingIOError:
            return messages
        finally:
            self._socket.settimeout(TIMEOUT_S)

    def until(self, message: str) -> list[str]:
        """Messages up to the first that begins so."""
        messages = [self.next()]
        while not messages[-1].startswith(message):
            messages.append(self.next())
        return messages

    def close(self) -> None:
        self._socket.close()
