"""Connection to a broker through paho-mqtt, for an event loop of the caller."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from streamgmm.sinks.child.protocol import Failure
from streamgmm.sinks.mqtt.protocol import Request

KEEPALIVE_S = 10
"""Interval of pings (s); a broker that has not answered one within this time is lost."""

SESSION_EXPIRY_S = 3600
"""Time for which the broker remembers half-delivered messages of a lost connection (s)."""

CONNECT_TIMEOUT_S = 5.0

LOWEST_FAILURE = 0x80
"""Lowest reason code of a failure (MQTT 5, section 2.4)."""

_PUBREC = struct.Struct("!HB")
"""Id of the message and reason code, which a packet of success may leave out (MQTT 5, section 3.5.2)."""


class _Client(paho.Client):
    """A client of paho-mqtt that notes the reasons of PUBREC packets, which paho drops.

    In a PUBREC, a broker refuses a message of QoS 2. The PUBCOMP that follows succeeds with some brokers, and else has
    the reason that there is no such message any more.

    Attributes:
        refused: reason by the id of each message whose PUBREC refused it.
    """

    refused: dict[int, ReasonCode]

    def _handle_pubrec(self) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        if len(packet) > _PUBREC.size - 1 and packet[2] >= LOWEST_FAILURE:
            mid, reason = _PUBREC.unpack_from(packet)
            self.refused[mid] = ReasonCode(PacketTypes.PUBREC, identifier=reason)
        return super()._handle_pubrec()


class Client:
    """One client of a broker, driven by the methods below from one thread.

    Retained messages have QoS 1. Others have QoS 2: over lost connections, each arrives exactly once.

    Args:
        request: broker, credentials and topics.
        will: payload of the status topic that the broker publishes if the connection is lost.
        on_message: receives topic, payload, and whether the message was retained.
        is_visitor: whether this client leaves no trace: no session of the daemon, and no will.

    Attributes:
        is_connected: whether the broker has accepted the connection.
        failure: why the latest connection failed or was lost; None while there is no reason known.
        pending: ids of messages that are not acknowledged.
        n_refused: number of messages so far that the broker did not accept.
    """

    def __init__(
        self,
        request: Request,
        will: bytes,
        on_message: Callable[[str, bytes, bool], None],
        *,
        is_visitor: bool = False,
    ) -> None:
        self.is_connected = False
        self.failure: Failure | None = None
        self.pending: set[int] = set()
        self.n_refused = 0
        # By their text, so that a broker that refuses everything makes one of each kind.
        self._refusals: dict[str, Failure] = {}
        self._topics: dict[int, str] = {}
        self._subscriptions: dict[int, list[str]] = {}
        self._request = request
        self._has_tls = False
        self._max_qos = 2
        # By the same id, the broker recognises a client whose earlier connection it believes to be still alive.
        client_id = "" if is_visitor else request.topics.device
        self._client = client = _Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
        client.refused = {}
        client.connect_timeout = CONNECT_TIMEOUT_S
        if not is_visitor:
            client.will_set(request.topics.status, will, qos=1, retain=True)
        if request.user:
            client.username_pw_set(request.user, request.password)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0 if is_visitor else SESSION_EXPIRY_S
        # Nothing is sent before `connect`. By default, only the first connection of this process begins a new session.
        client.connect_async(request.host, request.port, KEEPALIVE_S, properties=properties)
        client.on_socket_open = lambda _client, _data, connection: _send_at_once(connection)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = lambda _client, _data, message: on_message(
            message.topic, bytes(message.payload), message.retain
        )

    def connect(self) -> None:
        """Open a connection; blocks until the network answers, for at most `CONNECT_TIMEOUT_S` and a name look-up.

        Raises:
            OSError: no connection, or a certificate file cannot be used.
        """
        self.failure = None
        # Not in the constructor: whoever connects reports a wrong certificate file as well.
        if self._request.is_tls and not self._has_tls:
            self._client.tls_set_context(_tls_context(self._request))
            self._has_tls = True
        self._client.reconnect()

    def socket(self) -> Any:
        """Return the socket of the connection, to wait for; None without one."""
        return self._client.socket()

    def want_write(self) -> bool:
        """Return whether data waits for the socket to be writable."""
        return self._client.want_write()

    def read(self) -> None:
        """Process what has arrived, once the socket is readable."""
        self._client.loop_read()
        _acknowledge_at_once(self._client.socket())
        # TLS may have decrypted more than was read, which no `select` on the socket will show.
        while isinstance(connection := self._client.socket(), ssl.SSLSocket) and connection.pending():
            self._client.loop_read()

    def write(self) -> None:
        """Send what waits, once the socket is writable."""
        self._client.loop_write()

    def keep_alive(self) -> None:
        """Send a ping if one is due, and end a connection whose broker does not answer; call once a second."""
        self._client.loop_misc()

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Publish a message; its id stays in `pending` until the broker has it."""
        sent = self._client.publish(topic, payload, qos=min(1 if retain else 2, self._max_qos), retain=retain)
        if self._max_qos > 0:
            self.pending.add(sent.mid)
            self._topics[sent.mid] = topic

    def subscribe(self, topics: Iterable[str]) -> None:
        """Subscribe to messages of these topics."""
        asked = list(topics)
        _, mid = self._client.subscribe([(topic, 0) for topic in asked])
        if mid is not None:
            self._subscriptions[mid] = asked

    def unsubscribe(self, topics: Iterable[str]) -> None:
        """End subscriptions."""
        self._client.unsubscribe(list(topics))

    def take_refusals(self) -> list[Failure]:
        """Return what the broker has refused since the last call, one for each kind."""
        refusals, self._refusals = list(self._refusals.values()), {}
        return refusals

    def disconnect(self) -> None:
        """Leave the broker, which then publishes no will."""
        self._client.disconnect()

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self.failure = self._refusal_of(reason)
            return
        self.is_connected = True
        # Brokers that do not support every QoS say so here, and end the connection if it is ignored.
        self._max_qos = getattr(properties, "MaximumQoS", 2)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        self.is_connected = False
        if self.failure is None:
            hint = "give each daemon a `node` of its own" if reason == "Session taken over" else ""
            # The library's words for an end without a word of the broker.
            is_unexplained = reason == "Unspecified error"
            self.failure = Failure(
                "the connection ended" + ("" if is_unexplained else f": {str(reason).lower()}"), hint
            )

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        self.pending.discard(mid)
        topic = self._topics.pop(mid, "")
        reason = self._client.refused.pop(mid, reason)
        if reason.is_failure:
            self.n_refused += 1
            self._refuse("the broker refuses messages", reason, topic)

    def _on_subscribe(
        self, _client: Any, _data: Any, mid: int, reasons: Sequence[ReasonCode], _properties: Any
    ) -> None:
        # A broker that gives fewer reasons than it was asked for topics is not worth an end of the connection.
        for topic, reason in zip(self._subscriptions.pop(mid, []), reasons, strict=False):
            if reason.is_failure:
                self._refuse(f"the broker refuses the subscription to {topic}", reason, topic)

    def _refuse(self, what: str, reason: ReasonCode, topic: str) -> None:
        error = f"{what}: {str(reason).lower()}"
        is_unauthorized = reason == "Not authorized"
        hint = f"on the broker, allow its user the topic {topic}" if is_unauthorized else f"the first was {topic}"
        self._refusals.setdefault(error, Failure(error, hint))

    def _refusal_of(self, reason: ReasonCode) -> Failure:
        if reason.value in (134, 135):  # bad user name or password; not authorized
            remedy = "check the user and password in" if self._request.user else "put user:password into a file, as"
            return Failure("the broker refuses user or password", f"{remedy} secret_file", is_slow=True)
        hint = "it needs to speak MQTT 5" if reason.value == 132 else ""
        return Failure(f"the broker refuses the connection: {str(reason).lower()}", hint, is_slow=True)


def describe_error(error: OSError, request: Request) -> Failure:
    """Return the reason and the remedy of an error of `Client` or `Client.connect`, in plain words."""
    where = f"{request.host}:{request.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "name the file of its certificate authority as ca_file"
        return Failure(f"the certificate of {where} is not trusted: {error.verify_message}", hint, is_slow=True)
    if isinstance(error, ssl.SSLError):
        return Failure(f"no TLS connection to {where}: {error.reason or error}", "check port and certificates")
    return Failure(f"no broker answers at {where}: {error.strerror or error}")


def _send_at_once(connection: Any) -> None:
    # By default, the system collects small packets for up to 40 ms.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _acknowledge_at_once(connection)


def _acknowledge_at_once(connection: Any) -> None:
    # The broker may collect small packets too, until the one before is acknowledged. Holds for the next packets only.
    if connection is not None and hasattr(socket, "TCP_QUICKACK"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _tls_context(request: Request) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=request.ca_file or None)
    if request.cert_file:
        # A password, even an empty one, keeps OpenSSL from asking for one on the terminal.
        context.load_cert_chain(request.cert_file, request.key_file or None, password="")
    return context
