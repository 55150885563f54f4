"""A browser of few words for the tests of the page: requests, and streams of events."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from streamgmm.records import Record
from streamgmm.sinks.child.sink import ChildSink
from streamgmm.sinks.socket.listeners import TcpListener
from streamgmm.sinks.web.task import WebTask
from tests.narrowing import present
from tests.sinks.sink_rig import message, no_failure
from tests.system.run_rig import wait_until

TIMEOUT_S = 10.0


class Answer(NamedTuple):
    """What the server said."""

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(address: str, path: str = "/", method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
    """One request on a connection of its own; `_` in names of headers is `-`."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=TIMEOUT_S)
    try:
        connection.putrequest(method, path, skip_host="host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        return Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def connect(address: str, receive_space_bytes: int | None = None) -> socket.socket:
    """A bare connection."""
    parts = urlsplit(address)
    connection = socket.socket()
    if receive_space_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_space_bytes)
    connection.settimeout(TIMEOUT_S)
    connection.connect((present(parts.hostname), present(parts.port)))
    return connection


class Sse(NamedTuple):
    """One server-sent event."""

    type: str
    id: str
    data: Any


class Stream:
    """A browser that follows `/events`.

    Args:
        address: of the server.
        receive_space_bytes: as for `connect`.
        headers: lines of further headers.
    """

    def __init__(self, address: str, receive_space_bytes: int | None = None, headers: str = "") -> None:
        self.connection = connect(address, receive_space_bytes)
        self.connection.sendall(f"GET /events HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n".encode())
        self._file = self.connection.makefile("rb")

    def open(self) -> Stream:
        """Read the head of the answer."""
        assert b" 200 " in self._file.readline()
        while self._file.readline().strip():
            pass
        return self

    def read(self) -> Sse:
        """The next event."""
        fields = {"id": ""}
        while line := self._file.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
        return Sse(fields["event"], fields["id"], json.loads(fields["data"])) if "event" in fields else self.read()

    def read_until(self, kind: str, **values: object) -> Sse:
        """The first event from now on of that type, with these values in its data."""
        while True:
            event = self.read()
            if event.type == kind and all(event.data[key] == value for key, value in values.items()):
                return event

    def is_ended(self) -> bool:
        """Whether the server has ended the connection, once all is read."""
        try:
            while self.connection.recv(65536):
                pass
        except ConnectionError:
            return True
        return True

    def close(self) -> None:
        self._file.close()
        self.connection.close()


class Served:
    """An open sink, and its address."""

    def __init__(self, **options: object) -> None:
        self.task = WebTask(TcpListener("web://127.0.0.1:0"), **options)  # type: ignore[arg-type]
        self.sink = ChildSink("web://127.0.0.1:0", self.task)
        self.sink.open(no_failure)
        self.address = self.task.address

    def publish(self, *records: Record) -> None:
        for record in records:
            self.sink.publish(message(record))

    def ask(self, path: str = "/", method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        return ask(self.address, path, method, body, **headers)

    def wait_for_seq(self, seq: int) -> None:
        wait_until(lambda: self.ask("/v1/state").json["last_seq"] >= seq, f"{seq} does not come")
