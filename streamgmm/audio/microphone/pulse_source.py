"""PulseAudio client: list the sources of a PulseAudio or PipeWire server, and find the source of a stream.

A sound server moves a stream to another microphone when the chosen one is removed, within milliseconds and
without an error: sound keeps coming. PortAudio does not notice this, but the server notifies its subscribers.

The capture child loads this module by path, so it imports nothing from the package. It speaks the native protocol
itself, which needs no library and no callback.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# The fields of a reply depend on the negotiated version, not on that of the server; 13 has property lists.
VERSION = 13
TIMEOUT_S = 1.0
MAX_FRAME_BYTES = 1024 * 1024
TCP_PORT = 4713

# Commands and subscription masks (PulseAudio, src/pulsecore/native-common.h and src/pulse/def.h).
ERROR, REPLY, AUTH, SET_CLIENT_NAME = 0, 2, 8, 9
GET_SERVER_INFO, GET_SOURCE_INFO_LIST, GET_SOURCE_OUTPUT_INFO_LIST, SUBSCRIBE = 20, 24, 32, 35
SOURCE_OUTPUTS = 0x0008
NO_INDEX = 0xFFFFFFFF

# Length, channel, offset in two halves, and flags; the last three are 0 in requests.
_FRAME_HEADER = struct.Struct(">IIIII")
_SAMPLE_SPEC = struct.Struct(">BBI")
_CONTROL_CHANNEL = 0xFFFFFFFF
# Numbers of fields in version 13: replies with lists simply concatenate their entries.
_FIELDS_OF_SOURCE = 15
_FIELDS_OF_SOURCE_OUTPUT = 12

SourceFields = dict[str, Any]


class PulseError(Exception):
    """Raised when the server cannot be reached, refuses a command, or sends an invalid message."""


class PulseConnection:
    """Connection to the sound server of this process.

    Raises:
        PulseError: no server answers, or it refuses the connection.
    """

    def __init__(self) -> None:
        self._tag = 0
        self._has_event = False
        with _as_pulse_error():
            self._socket = _connect()
        try:
            self._ask(AUTH, VERSION, _cookie())
            self._ask(SET_CLIENT_NAME, {"application.name": "streamgmm"})
        except PulseError:
            self.close()
            raise

    def sources(self) -> list[SourceFields]:
        """Return all sources, with the keys of the devices of `capture_child` and some that only sources have.

        Raises:
            PulseError: the server does not answer.
        """
        server = self._ask(GET_SERVER_INFO)
        fields = self._ask(GET_SOURCE_INFO_LIST)
        with _as_pulse_error():
            return [_as_source(source, server) for source in _split(fields, _FIELDS_OF_SOURCE)]

    def source_of(self, mark: tuple[str, str]) -> SourceFields | None:
        """Return the source of the stream with the property `mark` (key and value); None if there is none.

        Raises:
            PulseError: the server does not answer.
        """
        fields = self._ask(GET_SOURCE_OUTPUT_INFO_LIST)
        with _as_pulse_error():
            streams = _split(fields, _FIELDS_OF_SOURCE_OUTPUT)
            indexes = [stream[4] for stream in streams if mark in stream[-1].items()]
        return next((source for source in self.sources() if source["index"] in indexes), None) if indexes else None

    def subscribe(self) -> None:
        """Subscribe to changes of streams, which end a `wait`.

        Raises:
            PulseError: the server does not answer.
        """
        self._ask(SUBSCRIBE, SOURCE_OUTPUTS)

    def wait_for_source(self, mark: tuple[str, str], timeout_s: float) -> SourceFields | None:
        """Wait until the stream with the property `mark` records from a source, and return it; None after the timeout.

        PipeWire connects a stream to its source some time after the stream was opened.

        Raises:
            PulseError: the server does not answer.
        """
        deadline_s = time.monotonic() + timeout_s
        while (source := self.source_of(mark)) is None and (left_s := deadline_s - time.monotonic()) > 0.0:
            self.wait(left_s)
        return source

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until a stream may have changed, or no message came for `timeout_s`.

        Raises:
            PulseError: the connection is lost.
        """
        with _as_pulse_error():
            # An event that came with an earlier reply counts: the change may be newer than that reply.
            while not self._has_event and select.select([self._socket], [], [], timeout_s)[0]:
                self._receive()
        self._has_event = False

    def be_patient(self) -> None:
        """Remove the timeout: wait for answers forever from now on."""
        self._socket.settimeout(None)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _ask(self, command: int, *arguments: Any) -> list[Any]:
        self._tag += 1
        payload = b"".join(map(_encode, (command, self._tag, *arguments)))
        with _as_pulse_error():
            # Events may come before the reply: `_receive` records them, and the loop skips them.
            self._socket.sendall(_FRAME_HEADER.pack(len(payload), _CONTROL_CHANNEL, 0, 0, 0) + payload)
            while (message := self._receive())[:2] not in ([ERROR, self._tag], [REPLY, self._tag]):
                pass
        kind, _, *fields = message
        if kind == ERROR:
            raise PulseError(f"refused with code {fields}")
        return fields

    def _receive(self) -> list[Any]:
        """Receive the next message and return its fields; record if it is an event."""
        n_bytes, *_ = _FRAME_HEADER.unpack(self._receive_exactly(_FRAME_HEADER.size))
        # Not a server of PulseAudio, or out of step: such a length must not be allocated.
        if n_bytes > MAX_FRAME_BYTES:
            raise ValueError(f"a message of {n_bytes} bytes")
        fields = list(_decode(self._receive_exactly(n_bytes)))
        self._has_event |= fields[0] not in (ERROR, REPLY)
        return fields

    def _receive_exactly(self, n_bytes: int) -> bytes:
        received = bytearray()
        while len(received) < n_bytes:
            part = self._socket.recv(n_bytes - len(received))
            if not part:
                raise EOFError("closed by the server")
            received += part
        return bytes(received)


def _split(fields: list[Any], n_fields: int) -> list[list[Any]]:
    return [fields[start : start + n_fields] for start in range(0, len(fields), n_fields)]


def _as_source(fields: list[Any], server: list[Any]) -> SourceFields:
    index, name, description, sample_spec = fields[:4]
    # Field 8 is the sink that a monitor belongs to, field 6 of the server the name of its default source.
    properties = fields[13]
    _, n_channels, rate_hz = _SAMPLE_SPEC.unpack(sample_spec)
    return {
        "index": index,
        "name": name,
        "description": description or name,
        "host_api": server[0],
        "max_channels": n_channels,
        "default_rate_hz": rate_hz,
        "is_default": name == server[6],
        "is_monitor": fields[8] != NO_INDEX,
        "node": properties.get("node.name", name),
        # The name that PortAudio would give the device if the server did not occupy it.
        "alsa_name": f"{properties.get('alsa.card_name', '')}: {properties.get('alsa.name', '')}",
    }


@contextlib.contextmanager
def _as_pulse_error() -> Iterator[None]:
    # Parsing an unexpected message raises one of these.
    try:
        yield
    except (OSError, EOFError, ValueError, IndexError, KeyError, AttributeError, struct.error) as error:
        raise PulseError(str(error)) from error


def _connect() -> socket.socket:
    for address in _addresses():
        try:
            return _connect_to(address)
        except OSError:
            continue
    raise OSError("no server answers")


def _addresses() -> list[str]:
    if servers := os.environ.get("PULSE_SERVER"):
        # PULSE_SERVER may list several addresses, each with a host name in braces in front.
        return [server.rpartition("}")[2] for server in servers.split()]
    # The folder of the user first, then that of a server for the whole system.
    folders = [os.environ.get("PULSE_RUNTIME_PATH"), f"{os.environ.get('XDG_RUNTIME_DIR', '/run')}/pulse"]
    return [f"unix:{folder}/native" for folder in [*folders, "/run/pulse"] if folder]


def _connect_to(address: str) -> socket.socket:
    if address.startswith(("unix:", "/")):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(TIMEOUT_S)
        connection.connect(address.removeprefix("unix:"))
        return connection
    parts = urlsplit(f"//{address.removeprefix('tcp:')}")
    return socket.create_connection((parts.hostname or "", parts.port or TCP_PORT), TIMEOUT_S)


def _cookie() -> bytes:
    """Return the authentication cookie of the user, or zeros; a local server also accepts the user without it."""
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    for path in (os.environ.get("PULSE_COOKIE"), f"{config}/pulse/cookie", "~/.pulse-cookie"):
        with contextlib.suppress(OSError, RuntimeError):
            if path:
                return Path(path).expanduser().read_bytes()[:256]
    return bytes(256)


def _encode(value: int | bytes | str | dict[str, str] | None) -> bytes:
    match value:
        case None:
            return b"N"
        case int():
            return b"L" + value.to_bytes(4, "big")
        case str():
            return b"t" + value.encode() + b"\0"
        case bytes():
            return b"x" + len(value).to_bytes(4, "big") + value
        case dict():
            items = ((key, text.encode() + b"\0") for key, text in value.items())
            return b"P" + b"".join(_encode(k) + _encode(len(v)) + _encode(v) for k, v in items) + b"N"


_FIXED_BYTES = {b"B": 1, b"L": 4, b"V": 4, b"U": 8, b"R": 8, b"r": 8, b"T": 8, b"a": 6, b"0": 0, b"1": 0}
_ITEM_BYTES = {b"m": 1, b"v": 4}
"""Lengths of values by tag (bytes): of the value, or of an item where the first byte is the number of items."""


def _decode(data: bytes) -> Iterator[Any]:
    """Yield the values of a message in order; values of types that are not used here as raw bytes."""
    at = 0
    while at < len(data):
        value, at = _decode_one(data, at)
        yield value


def _decode_one(data: bytes, at: int) -> tuple[Any, int]:
    tag, at = data[at : at + 1], at + 1
    if tag in _FIXED_BYTES:
        end = at + _FIXED_BYTES[tag]
        return int.from_bytes(data[at:end], "big") if tag == b"L" else data[at:end], end
    if tag in _ITEM_BYTES:
        end = at + 1 + data[at] * _ITEM_BYTES[tag]
        return data[at:end], end
    if tag == b"t":
        end = data.index(b"\0", at)
        return data[at:end].decode(errors="replace"), end + 1
    if tag == b"x":
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        return data[at + 4 : end], end
    if tag == b"P":
        return _decode_properties(data, at)
    if tag == b"N":
        return None, at
    raise ValueError(f"an unknown kind of value {tag!r}")


def _decode_properties(data: bytes, at: int) -> tuple[dict[str, str], int]:
    properties: dict[str, str] = {}
    while True:
        key, at = _decode_one(data, at)
        if key is None:
            return properties, at
        _, at = _decode_one(data, at)  # skip the length, which the value repeats
        value, at = _decode_one(data, at)
        properties[key] = value.rstrip(b"\0").decode(errors="replace")
