"""Iterate over the records of a daemon within an asyncio event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType

from streamgmm.client.address import Address, connection_error, keep_alive, parse_address
from streamgmm.client.blocking import RECEIVE_BYTES
from streamgmm.client.conversation import Conversation, Record, token_bytes
from streamgmm.client.retrying import OnLost, Retrying
from streamgmm.errors import StreamgmmError


def connect_async(
    address: str,
    *,
    token: str | bytes | None = None,
    reconnect: bool = True,
    timeout_s: float = 5.0,
    max_wait_s: float = 30.0,
    on_lost: OnLost | None = None,
) -> AsyncConnection:
    """Return an asynchronous iterator over the records of a daemon; arguments, records and errors as of `connect`.

    `async with` connects at once, otherwise the first record does.
    """
    retrying = Retrying(address, reconnect=reconnect, max_wait_s=max_wait_s, on_lost=on_lost)
    return AsyncConnection(parse_address(address), token_bytes(token), timeout_s, retrying)


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class AsyncConnection:
    """Asynchronous iterator over the records of a daemon; also a context manager that closes it.

    Args:
        address: where to connect to.
        token: token to send; empty for none.
        timeout_s: longest time for connecting, and for the greeting (s).
        retrying: decides what follows a failure.
    """

    def __init__(self, address: Address, token: bytes, timeout_s: float, retrying: Retrying) -> None:
        self._address = address
        self._token = token
        self._timeout_s = timeout_s
        self._retrying = retrying
        self._streams: _Streams | None = None
        self._records = self._iterate()

    def __aiter__(self) -> AsyncIterator[Record]:
        return self

    async def __anext__(self) -> Record:
        """Return the next record, as soon as there is one.

        Raises:
            StopAsyncIteration: without `reconnect`, the daemon has ended.
            StreamgmmError: the connection failed before the first record or, without `reconnect`, later; or the token
                was refused.
        """
        return await anext(self._records)

    async def __aenter__(self) -> AsyncConnection:
        try:
            self._streams = await self._open()
        except OSError as error:
            raise connection_error(error, self._address.uri) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Disconnect; a task that waits for a record has to be cancelled first."""
        await self._records.aclose()
        if self._streams is not None:  # connected, but nothing was read
            self._streams[1].close()
            self._streams = None

    async def _iterate(self) -> AsyncGenerator[Record, None]:
        while True:
            try:
                async with self._connected() as (reader, writer):
                    conversation = Conversation(self._address, self._token)
                    writer.write(conversation.opening)
                    while data := await self._read(reader, conversation):
                        for record in conversation.receive(data):
                            self._retrying.note_record()
                            yield record
                raise self._retrying.ended()
            except (OSError, StreamgmmError) as error:
                wait_s = self._retrying.wait_after(error)
            if wait_s is None:
                return
            await asyncio.sleep(wait_s)

    async def _read(self, reader: asyncio.StreamReader, conversation: Conversation) -> bytes:
        """Return what has come, b"" at the end; a daemon has to greet in time."""
        try:
            async with asyncio.timeout(None if conversation.has_begun else self._timeout_s):
                return await reader.read(RECEIVE_BYTES)
        except TimeoutError as error:
            raise conversation.unanswered() from error

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[_Streams, None]:
        """Provide the connection that `async with` has made, or a new one."""
        reader, writer = self._streams or await self._open()
        self._streams = None
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _open(self) -> _Streams:
        """Connect.

        Raises:
            OSError: nothing listens there, or this user may not open it.
        """
        async with asyncio.timeout(self._timeout_s):
            if self._address.path:
                return await asyncio.open_unix_connection(self._address.path)
            reader, writer = await asyncio.open_connection(self._address.host, self._address.port)
            keep_alive(writer.get_extra_info("socket"))
            return reader, writer
