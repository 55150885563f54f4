"""The server: uvicorn, with limits for connections that are too many or stay incomplete, and without its signals."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 10.0
"""Time within which a request must be complete, from the connection or from its first byte on (s)."""

KEEP_ALIVE_S = 15
"""Time for which a connection may wait for another request (s)."""

SPARE_CONNECTIONS = 64
"""Connections besides those of the streams."""


class Connections:
    """All connections of browsers.

    Args:
        max_viewers: most streams at once.
    """

    def __init__(self, max_viewers: int) -> None:
        self._max_connections = max_viewers + SPARE_CONNECTIONS
        self._all: set[LimitedProtocol] = set()

    def add(self, connection: LimitedProtocol) -> None:
        """Take in a connection; end it at once if there are too many."""
        self._all.add(connection)
        if len(self._all) > self._max_connections:
            connection.transport.abort()

    def discard(self, connection: LimitedProtocol) -> None:
        """Forget a connection that has ended."""
        self._all.discard(connection)

    def end(self, client: tuple[str, int]) -> None:
        """End the connection of an address at once, without what waits to be sent."""
        for connection in self._all:
            if connection.client == client:
                connection.transport.abort()


class LimitedProtocol(H11Protocol):
    """A connection that counts among `Connections`, and ends if no request comes, or one stays incomplete.

    uvicorn limits only the time between a response and the first byte of the next request.
    """

    def __init__(self, *arguments: Any, connections_of_all: Connections, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._connections_of_all = connections_of_all
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the connection."""
        super().connection_made(transport)
        self._connections_of_all.add(self)
        self._limit_request()

    def data_received(self, data: bytes) -> None:
        """Take in bytes of a request."""
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._limit_request()
        else:
            self._lift_limit()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection."""
        super().connection_lost(exc)
        self._lift_limit()
        self._connections_of_all.discard(self)

    def _limit_request(self) -> None:
        # Not again with each byte, as a client may send one at a time.
        if self._timer is None:
            self._timer = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _lift_limit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Server(uvicorn.Server):
    """Serve an application on a socket that is open already.

    Args:
        app: the application.
        connections: take in all connections.
    """

    def __init__(self, app: ASGIApp, connections: Connections) -> None:
        config = uvicorn.Config(
            app,
            http=partial(LimitedProtocol, connections_of_all=connections),  # type: ignore[arg-type]
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        super().__init__(config)

    async def run_on(self, fd: int) -> None:
        """Serve until `should_exit` is set."""
        await self.serve(sockets=[socket.socket(fileno=fd)])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: the daemon decides when to end."""
        yield
