"""The task of serving a page: its listening socket belongs to the daemon and outlives every child."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Sequence

from msgspec import structs

from streamgmm import __version__
from streamgmm.errors import ConfigError
from streamgmm.sinks.child.task import Task, command_of
from streamgmm.sinks.socket.listeners import TcpListener
from streamgmm.sinks.socket.token import Token
from streamgmm.sinks.web.request import Request

COMMAND = command_of("streamgmm.sinks.web.child")

GREETING_S = 5.0
"""Interval at which health, level and losses are renewed (s)."""

SEND_BUFFER_BYTES = 64 * 1024
"""Memory of the kernel for a browser that does not read; by default it grows to megabytes."""

LIBRARIES = ("starlette", "uvicorn", "prometheus_client")


class WebTask(Task):
    """Serve a page, metrics and records over HTTP.

    While a child is replaced, the kernel keeps new connections for the next one.

    Args:
        listener: port to listen on.
        hosts: further host names by which browsers may address the server.
        token: token that every request must bring; None: none.
        max_viewers: most streams of records that are served at once.
        clips_directory: folder of the clips, which whoever may see the page can listen to and judge; empty: none.

    Raises:
        ConfigError: the libraries are missing, or a host is not a name.
    """

    def __init__(
        self,
        listener: TcpListener,
        *,
        hosts: Sequence[str] = (),
        token: Token | None = None,
        max_viewers: int = 64,
        clips_directory: str = "",
    ) -> None:
        if missing := [name for name in LIBRARIES if importlib.util.find_spec(name) is None]:
            needs = f"output.sinks: {listener.uri!r} needs {', '.join(missing)}: pip install 'streamgmm[web]'"
            raise ConfigError([needs])
        if wrong := [host for host in hosts if not host or not set(host.lower()) <= _NAME_CHARACTERS]:
            raise ConfigError([f"output.sinks: {listener.uri!r}: hosts: {wrong[0]!r} is not a host name without port"])
        request = Request(
            version=__version__,
            hosts=tuple(host.lower() for host in hosts),
            token=token.to_line().decode().rstrip("\n") if token else "",
            max_viewers=max_viewers,
            # Nobody on another machine without a token, whoever has allowed that.
            clips_directory=os.fsencode(clips_directory) if token or listener.is_loopback else b"",
        )
        super().__init__("web", COMMAND, request, greeting_s=GREETING_S)
        self._listener = listener
        self._socket: socket.socket | None = None

    @property
    def address(self) -> str:
        """Return the actual address once claimed, e.g. with the port that the system chose."""
        return self._listener.address.replace("web:", "http:", 1)

    def claim(self) -> None:
        """Listen.

        Raises:
            StreamgmmError: the port is in use or reserved.
        """
        self._socket = self._listener.open()
        # Inherited by every connection.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def release(self) -> None:
        """Close the port."""
        if self._socket is not None:
            self._socket.close()

    @property
    def request(self) -> Request:
        """Return the request, with the socket."""
        assert isinstance(self._request, Request)
        return structs.replace(self._request, fd=self._socket.fileno() if self._socket else -1)

    @property
    def fds(self) -> Sequence[int]:
        """Return the descriptor of the socket."""
        return [self._socket.fileno()] if self._socket else []


_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_")
