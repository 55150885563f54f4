"""Limits of single connections, held by the server in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import NamedTuple

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from streamgmm.sinks.web import server
from streamgmm.sinks.web.guard import Guard
from streamgmm.sinks.web.server import Connections, LimitedProtocol
from tests.sinks.sink_rig import TIMEOUT_S

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
GET = HEAD + b"\r\n"


class Client(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, request: bytes) -> bytes:
        """Send a request, and return the head of the answer."""
        self.writer.write(request)
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), TIMEOUT_S)
        if b"content-length: 3" in head:
            await self.reader.readexactly(3)
        return head

    async def wait_for_end(self) -> None:
        """Wait until the server ends the connection."""
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(self.reader.read(), TIMEOUT_S) is not None


@contextlib.asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[Callable[[], Awaitable[Client]]]:
    """Serve `app`; gives a function that connects to it."""
    config = uvicorn.Config(app, interface="asgi3", ws="none", lifespan="off", log_config=None, timeout_keep_alive=3600)
    state = ServerState()
    make = partial(LimitedProtocol, config, state, {}, connections_of_all=Connections(1))
    listener = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    clients: list[Client] = []

    async def connect() -> Client:
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", port)))
        return clients[-1]

    try:
        yield connect
    finally:
        for client in clients:
            client.writer.close()
        listener.close()


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"GET / HT", id="line"),
        pytest.param(HEAD, id="head"),
        pytest.param(HEAD.replace(b"GET", b"POST") + b"Content-Length: 9\r\n\r\nabc", id="body"),
        pytest.param(b"\r\n", id="nothing"),
    ],
)
@pytest.mark.parametrize("n_before", [0, 1, 2])
def test_E50_connection_whose_request_stays_incomplete_is_ended(
    monkeypatch: pytest.MonkeyPatch, rest: bytes, n_before: int
) -> None:
    async def check() -> None:
        async with serving(PlainTextResponse("yes")) as connect:
            client = await connect()
            for _ in range(n_before):
                assert b" 200 " in await client.ask(GET)
            client.writer.write(rest)
            await client.wait_for_end()

    monkeypatch.setattr(server, "REQUEST_S", 0.2)
    asyncio.run(check())


def test_E50_bytes_one_at_a_time_do_not_prolong_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async def drip(client: Client) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                client.writer.write(b"a")
                await client.writer.drain()
                await asyncio.sleep(0.01)

    async def check() -> None:
        async with serving(PlainTextResponse("yes")) as connect:
            client = await connect()
            await client.ask(GET)
            client.writer.write(b"GET /")
            dripping = asyncio.create_task(drip(client))
            await client.wait_for_end()
            dripping.cancel()

    monkeypatch.setattr(server, "REQUEST_S", 0.2)
    asyncio.run(check())


def test_answer_may_take_longer_than_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        was_asked, may_answer = asyncio.Event(), asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            was_asked.set()
            await may_answer.wait()
            await PlainTextResponse("yes")(scope, receive, send)

        async with serving(slow) as connect:
            patient = await connect()
            asked = asyncio.create_task(patient.ask(GET))
            await asyncio.wait_for(was_asked.wait(), TIMEOUT_S)
            # A later connection, which says nothing, shows that the time is over.
            await (await connect()).wait_for_end()
            may_answer.set()
            assert b" 200 " in await asked

    monkeypatch.setattr(server, "REQUEST_S", 0.2)
    asyncio.run(check())


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (GET, b" 401 "),
        (GET.replace(b"localhost", b"evil.example"), b" 421 "),
        (GET.replace(b"GET", b"PUT"), b" 405 "),
    ],
)
def test_E52_refused_client_keeps_no_connection(request_: bytes, status: bytes) -> None:
    async def check() -> None:
        async with serving(Guard(PlainTextResponse("yes"), [], "0123456789abcdef")) as connect:
            client = await connect()
            assert status in await client.ask(request_)
            await client.wait_for_end()

    asyncio.run(check())
