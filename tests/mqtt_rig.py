"""A real Mosquitto, and a subscriber that waits for messages."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.ports import free_port
from tests.required import mosquitto

TIMEOUT_S = 20.0


class Broker:
    """A Mosquitto on a port of this machine, which can be ended, frozen and started again.

    Args:
        folder: where its settings are.
        lines: of its settings, beside the listener.
    """

    def __init__(self, folder: Path, *lines: str) -> None:
        self._program = mosquitto()
        self.port = free_port()
        self._settings = folder / "mosquitto.conf"
        # Without another user, which root would become, and who may not read the files of the test.
        listener = f"listener {self.port} 127.0.0.1"
        self._settings.write_text("\n".join(["user root", listener, *(lines or ["allow_anonymous true"]), ""]))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "-c", self._settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline_s = time.monotonic() + TIMEOUT_S
        while not self._is_listening():
            assert time.monotonic() < deadline_s, "mosquitto does not listen"
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(TIMEOUT_S)
            self._process = None

    @property
    def uri(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}/home"

    def _is_listening(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            return True
        return False


class Received(NamedTuple):
    at_s: float
    topic: str
    payload: bytes
    is_retained: bool


class Subscriber:
    """Gets every message, reconnects by itself, and can be waited for."""

    def __init__(self, port: int, user: str = "", password: str = "", topic: str = "#") -> None:
        self.messages: list[Received] = []
        self._changed = threading.Condition()
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._subscribed = threading.Event()
        client.on_connect = lambda client, *_: client.subscribe(topic, 2)
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._take
        client.reconnect_delay_set(0.05, 0.05)  # type: ignore[arg-type]
        if user:
            client.username_pw_set(user, password)
        client.connect("127.0.0.1", port)
        client.loop_start()
        assert self._subscribed.wait(TIMEOUT_S)

    def _take(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        with self._changed:
            self.messages.append(Received(time.monotonic(), message.topic, bytes(message.payload), message.retain))
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[Received], bool], n_messages: int = 1) -> list[Received]:
        """The messages that meet the condition, at least as many as wanted."""
        with self._changed:
            done = self._changed.wait_for(lambda: len(self.select(condition)) >= n_messages, TIMEOUT_S)
            assert done, self.messages[-20:]
            return self.select(condition)

    def wait_until(self, **states: bytes) -> None:
        """Wait until the latest message of each topic that ends so (`_` for `/`) has this payload."""
        wanted = {name.replace("_", "/"): payload for name, payload in states.items()}
        with self._changed:
            done = self._changed.wait_for(lambda: all(map(self._is_latest, wanted, wanted.values())), TIMEOUT_S)
            assert done, [message for message in self.messages if message.payload in (b"ON", b"OFF")][-20:]

    def select(self, condition: Callable[[Received], bool]) -> list[Received]:
        return [message for message in self.messages if condition(message)]

    def latest(self) -> dict[str, bytes]:
        """The latest payload of each topic."""
        return {message.topic: message.payload for message in self.messages}

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(TIMEOUT_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        # Without this cycle, its descriptors are freed here and not in the middle of another test.
        self._client.on_message = self._client.on_subscribe = None
        del self._client

    def _is_latest(self, ending: str, payload: bytes) -> bool:
        latest = self.latest()
        return any(topic.endswith(ending) and latest[topic] == payload for topic in latest)


@contextlib.contextmanager
def subscriber(broker: Broker, **options: Any) -> Iterator[Subscriber]:
    with contextlib.closing(Subscriber(broker.port, **options)) as client:
        yield client


def retained(broker: Broker) -> dict[str, bytes]:
    """All that the broker retains, as whoever subscribes now gets it."""
    with subscriber(broker) as client:
        marker = f"marker/{os.urandom(4).hex()}"
        client.publish(marker, b"x")
        client.wait_for(lambda message: message.topic == marker)
        return {message.topic: message.payload for message in client.messages if message.is_retained}


class RefusingBroker:
    """A broker that does not accept messages and subscriptions, by the MQTT 5 reason codes that it is given.

    Args:
        publish: reason in PUBACK and PUBREC.
        complete: reason in PUBCOMP.
        subscribe: reason in SUBACK, for each topic.
    """

    def __init__(self, publish: int = 0x87, complete: int = 0x92, subscribe: int = 0x87) -> None:
        self._publish, self._complete, self._subscribe = bytes([publish]), bytes([complete]), bytes([subscribe])
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        # Not only closed, which would not wake the thread that waits for a connection.
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                with connection, connection.makefile("rb") as packets, contextlib.suppress(EOFError, OSError):
                    while True:
                        connection.sendall(self._answer(*_read_packet(packets)))

    def _answer(self, first: int, body: bytes) -> bytes:
        match first >> 4:
            case 1:  # CONNECT
                return b"\x20\x03\x00\x00\x00"
            case 3:  # PUBLISH: the id follows the topic
                n_topic = int.from_bytes(body[:2], "big")
                kind = b"\x50" if first & 4 else b"\x40"
                return kind + b"\x03" + body[2 + n_topic :][:2] + self._publish
            case 6:  # PUBREL
                return b"\x70\x03" + body[:2] + self._complete
            case 8:  # SUBSCRIBE: id, properties, then each topic with its options
                reasons = self._subscribe * _count_topics(body[3 + body[2] :])
                return b"\x90" + bytes([3 + len(reasons)]) + body[:2] + b"\x00" + reasons
            case 12:  # PINGREQ
                return b"\xd0\x00"
            case _:
                raise EOFError


def _read_packet(packets: BinaryIO) -> tuple[int, bytes]:
    """Return the first byte of a packet, and what follows its length."""
    first, length, shift = packets.read(1), 0, 0
    if not first:
        raise EOFError
    while True:
        (digit,) = packets.read(1) or b"\0"
        length |= (digit & 0x7F) << shift
        shift += 7
        if digit < 0x80:
            return first[0], packets.read(length)


def _count_topics(payload: bytes) -> int:
    n_topics = 0
    while payload:
        payload = payload[3 + int.from_bytes(payload[:2], "big") :]
        n_topics += 1
    return n_topics


@contextlib.contextmanager
def refusing_broker(**reasons: int) -> Iterator[RefusingBroker]:
    with contextlib.closing(RefusingBroker(**reasons)) as broker:
        yield broker
