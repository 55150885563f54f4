"""Daemons' sockets that come and go, and both variants of the client behind one function."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from streamgmm.client import Record, connect, connect_async
from streamgmm.records import Record as RecordStruct
from streamgmm.sinks.socket.listeners import Listener, TcpListener
from streamgmm.sinks.socket.sockets import SocketSink
from streamgmm.sinks.socket.token import Token
from streamgmm.sinks.socket.unix import UnixListener
from tests.ports import free_port
from tests.sinks.sink_rig import HELLO, message, no_failure

Read = Callable[..., list[Record]]


class Socket:
    """The socket of a daemon, at one address over all restarts.

    Args:
        kind: `unix` or `tcp`.
        folder: place of the UNIX socket.
        token: that clients must send.
    """

    def __init__(self, kind: str, folder: Path, token: Token | None = None) -> None:
        self.address = f"unix://{folder}/s" if kind == "unix" else f"tcp://127.0.0.1:{free_port()}"
        self._token = token
        self._n_starts = 0
        self._sink: SocketSink | None = None

    def start(self, *records: RecordStruct) -> None:
        """Listen, and greet with a hello of another run than before and then `records`."""
        listener: Listener = UnixListener(self.address) if "unix" in self.address else TcpListener(self.address)
        self._sink = SocketSink(listener, token=self._token)
        self._sink.open(no_failure)
        self._n_starts += 1
        self.publish(msgspec.structs.replace(HELLO, run_id=f"r{self._n_starts}"), *records)

    def publish(self, *records: RecordStruct) -> None:
        assert self._sink is not None
        for record in records:
            self._sink.publish(message(record))

    def stop(self) -> None:
        if self._sink is not None:
            self._sink.close(1.0)
            self._sink = None


def read_blocking(
    address: str, n_records: int | None = None, after: Callable[[int], object] = lambda n: None, **options: Any
) -> list[Record]:
    """Read `n_records`, or to the end, and call `after` with the number of those read so far after each."""
    read: list[Record] = []
    with connect(address, **options) as records:
        for record in records:
            read.append(record)
            after(len(read))
            if len(read) == n_records:
                break
    return read


def read_async(
    address: str, n_records: int | None = None, after: Callable[[int], object] = lambda n: None, **options: Any
) -> list[Record]:
    """As `read_blocking`, in an event loop."""

    async def run() -> list[Record]:
        read: list[Record] = []
        async with connect_async(address, **options) as records:
            async for record in records:
                read.append(record)
                after(len(read))
                if len(read) == n_records:
                    break
        return read

    return asyncio.run(asyncio.wait_for(run(), 30.0))


READERS: dict[str, Read] = {"blocking": read_blocking, "asynchronous": read_async}


@contextlib.contextmanager
def peer(folder: Path, *parts: bytes, hangs_up: bool = True) -> Iterator[str]:
    """The address of something that sends some bytes to everybody who connects, and hangs up or falls silent."""
    server = socket.create_server(f"{folder}/peer", family=socket.AF_UNIX)
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                for part in parts:
                    connection.sendall(part)
                if not hangs_up:
                    is_over.wait(30.0)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield f"unix://{folder}/peer"
    is_over.set()
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(10.0)
