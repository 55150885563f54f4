"""URIs of MQTT sinks, and the request to the child that their settings make."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from streamgmm import __version__
from streamgmm.audio.streams.credentials import read_credentials
from streamgmm.client.address import check_host
from streamgmm.errors import ConfigError
from streamgmm.files import read_regular_file
from streamgmm.settings.output import SinkSection
from streamgmm.sinks.mqtt.protocol import Request
from streamgmm.sinks.mqtt.topics import Topics

PORTS = {"mqtt": 1883, "mqtts": 8883}
MAX_PEM_BYTES = 1024 * 1024
MAX_NAME_CHARACTERS = 256
DISCOVERY = "homeassistant"


class Address(NamedTuple):
    """Broker and first levels of the topics, as a URI names them.

    Attributes:
        is_tls: whether the connection is encrypted.
        host: host name or address.
        port: port.
        prefix: first level or levels of all topics.
    """

    is_tls: bool
    host: str
    port: int
    prefix: str


def parse_address(uri: str) -> Address:
    """Return what a URI `mqtt://HOST[:PORT]/PREFIX` or `mqtts://...` names.

    Raises:
        ConfigError: it is not of this form, or contains a password.
    """
    scheme = uri.partition(":")[0]
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
        check_host(host or "")
    except ValueError:
        host = port = parts = None
    if parts is not None and "@" in parts.netloc:
        # Without the URI, which the message would show to every reader of the log.
        raise ConfigError([f"output.sinks: {scheme}://...: put user:password into a file, and name it by secret_file"])
    prefix = "" if parts is None else parts.path.removeprefix("/")
    if parts is None or not host or port == 0 or parts.query or parts.fragment or "?" in uri or "#" in uri:
        raise ConfigError([f"output.sinks: {uri!r} is not of the form {scheme}://HOST:PORT/PREFIX"])
    _check_topic(prefix, f"{uri!r}: the prefix of the topics")
    return Address(scheme == "mqtts", host, port or PORTS[scheme], prefix)


def make_request(own: SinkSection, types: Sequence[str] = ("start", "end")) -> Request:
    """Return the task of a child for a sink with these settings; `types` are those of the published records.

    Raises:
        ConfigError: paho-mqtt is missing, the URI or a name is not valid, or a file is not as it should be.
        StreamgmmError: a file cannot be read.
    """
    address = parse_address(own.uri)
    if importlib.util.find_spec("paho") is None:
        raise ConfigError([f"output.sinks: {own.uri!r} needs paho-mqtt: pip install 'streamgmm[mqtt]'"])
    node = socket.gethostname() if own.node is None else own.node
    if not 0 < len(node) <= MAX_NAME_CHARACTERS:
        raise ConfigError([f"output.sinks: {own.uri!r}: node has 1 to {MAX_NAME_CHARACTERS} characters"])
    discovery = DISCOVERY if own.discovery is None else own.discovery
    if discovery:
        _check_topic(discovery, f"{own.uri!r}: discovery")
    credentials = read_credentials(Path(own.secret_file), "output.sinks: secret_file") if own.secret_file else None
    if own.key_file and not own.cert_file:
        raise ConfigError([f"output.sinks: {own.uri!r}: key_file needs a cert_file"])
    for path in filter(None, (own.ca_file, own.cert_file, own.key_file)):
        read_regular_file(Path(path), MAX_PEM_BYTES)  # to report a mistake before anything starts
    return Request(
        host=address.host,
        port=address.port,
        topics=Topics(address.prefix, node, discovery),
        version=__version__,
        is_tls=address.is_tls,
        ca_file=own.ca_file or "",
        cert_file=own.cert_file or "",
        key_file=own.key_file or "",
        user=credentials.user if credentials else "",
        password=credentials.password if credentials else "",
        types=tuple(types),
        labels=tuple(own.labels),
        sources=tuple(own.sources),
        has_commands=bool(own.commands),
    )


def _check_topic(topic: str, what: str) -> None:
    is_printable = topic.isprintable() and topic.isascii()
    if not is_printable or topic.startswith("$") or not all(topic.split("/")) or set(topic) & set("+#"):
        raise ConfigError([f"output.sinks: {what} is one or more levels a/b, ASCII without + and #"])
    if len(topic) > MAX_NAME_CHARACTERS:
        raise ConfigError([f"output.sinks: {what} has at most {MAX_NAME_CHARACTERS} characters"])
