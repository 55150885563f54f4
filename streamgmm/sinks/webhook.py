"""Send records to a web server: `https://HOST/PATH` and `http://HOST/PATH`, a POST with the JSON of each record."""

from __future__ import annotations

import hmac
import http.client
import logging
import re
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Unpack
from urllib.parse import SplitResult, urlsplit

from streamgmm import __version__
from streamgmm.audio.streams.credentials import read_secret
from streamgmm.client.address import check_host
from streamgmm.errors import ConfigError, OutputError, StreamgmmError
from streamgmm.sinks.body_template import BodyTemplate
from streamgmm.sinks.push import REMOTE_PATIENCE_S, PushOptions, PushSink

logger = logging.getLogger("streamgmm.sinks")

PORTS = {"http": http.client.HTTP_PORT, "https": http.client.HTTPS_PORT}

TIMEOUT_S = 10.0
"""Longest time for a request (s)."""

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
"""Shortest and longest time between attempts while the server does not take a record (s); they double."""

SIGNATURE = "X-Streamgmm-Signature"
"""Header with `sha256=` and the HMAC-SHA256 of the body in hexadecimal digits."""

MAX_HEADERS_BYTES = 16 * 1024
MAX_KEY_BYTES = 1024

_RETRIED = {408, 429}
"""Status codes of refusals that concern the moment and not the record; all from 500 on are retried too."""

_OWN_HEADERS = {"connection", "content-length", "content-type", "host", "transfer-encoding"}
_HEADER = re.compile(r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+): *(?P<value>[\x20-\x7e]*)")


class WebhookSink(PushSink):
    """Send each record as the body of a POST, in order, over a connection of its own.

    While the server cannot be reached, is overloaded or fails, records wait. A record that it refuses is logged and
    left out. Redirects are refusals. A record whose answer is lost is sent again.

    Args:
        uri: where to send records; only scheme and host appear in messages, as the rest may be secret.
        headers: further headers of each request.
        key: key of the signature; empty: no signature.
        ca_file: certificate authorities to trust, PEM; empty: those of the system.
        timeout_s: longest time for a request (s).
        body: makes the body of a record; None: the record as JSON.
        options: see `PushOptions`; the format is jsonl.

    Raises:
        ConfigError: `uri` is not valid, or `ca_file` has no certificates.
    """

    patience_s = REMOTE_PATIENCE_S

    def __init__(
        self,
        uri: str,
        *,
        headers: Mapping[str, str] | None = None,
        key: bytes = b"",
        ca_file: str = "",
        timeout_s: float = TIMEOUT_S,
        body: BodyTemplate | None = None,
        **options: Unpack[PushOptions],
    ) -> None:
        parts = _split(uri)
        super().__init__(f"{parts.scheme}://{parts.netloc}/...", **options)
        # Never without a port: `http.client` would take the last group of an IPv6 address for it.
        self._host, self._port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"User-Agent": f"streamgmm/{__version__}", **(headers or {})}
        self._key, self._timeout_s, self._body = key, timeout_s, body
        self._tls = _tls_context(ca_file) if parts.scheme == "https" else None
        self._connection: http.client.HTTPConnection | None = None
        self._refusal = ""
        self._retry_s = FIRST_RETRY_S

    def deliver(self, undelivered: bytearray) -> None:
        """Send one line.

        Raises:
            OSError, OutputError: the server cannot be reached, or cannot take the record now.
        """
        # An empty line stands for a loss that is not reported (see `PushSink`).
        if undelivered:
            try:
                line = bytes(undelivered)
                self._judge(self._post(self._body.fill(line) if self._body else line))
            except (OSError, StreamgmmError):
                # Not before the first failure, which is logged with the time until the next attempt.
                self._retry_s = min(2.0 * self._retry_s, LAST_RETRY_S)
                raise
            undelivered.clear()
        self._retry_s = FIRST_RETRY_S

    def may_heal(self, error: OSError | StreamgmmError) -> bool:
        """Return True: networks and servers come back."""
        return True

    def failure_of(self, error: OSError) -> StreamgmmError:
        """Return an error that names the server."""
        if isinstance(error, ssl.SSLCertVerificationError):
            hint = "name the file of its certificate authority as ca_file"
            return OutputError(f"the certificate is not trusted: {error.verify_message}", where=self.name, hint=hint)
        reason = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
        return OutputError(f"cannot send: {reason}", where=self.name)

    def abandon(self) -> None:
        """Break off the request that is in progress."""
        self._break_off()
        if self._thread is not None:
            self._thread.join(0.1)

    def _post(self, body: bytes) -> int:
        """Send `body`, and return the status code of the answer."""
        content_type = self._body.content_type if self._body else "application/json"
        headers = {**self._headers, "Content-Type": content_type, "Connection": "close"}
        if self._key:
            headers[SIGNATURE] = f"sha256={hmac.new(self._key, body, 'sha256').hexdigest()}"
        # The time limit of a socket is for each packet, and a server may send one after the other.
        limit = threading.Timer(self._timeout_s, self._break_off)
        limit.daemon = True
        with closing(self._connect()) as self._connection:
            limit.start()
            try:
                self._connection.request("POST", self._target, body, headers)
                return self._connection.getresponse().status
            except http.client.HTTPException as error:
                raise OutputError(f"answers with something else than HTTP: {error}", where=self.name) from error
            finally:
                limit.cancel()

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)

    def _break_off(self) -> None:
        connection = self._connection.sock if self._connection is not None else None
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _judge(self, status: int) -> None:
        """Log a refusal, once for records in a row that are refused alike.

        Raises:
            OutputError: the record is to be sent again.
        """
        if status >= 500 or status in _RETRIED:
            raise OutputError(f"the server cannot take it now: status {status}", where=self.name)
        hint = (
            "redirects are not followed: use the final address" if 300 <= status < 400 else "check address and headers"
        )
        refusal = f"status {status} ({hint})" if status >= 300 else ""
        if refusal and refusal != self._refusal:
            logger.error("sink.refused sink=%s reason=%s; such records are left out", self.name, refusal)
        self._refusal = refusal
        self.n_failed += bool(refusal)


def read_headers(path: Path) -> dict[str, str]:
    """Read headers from a file with lines `Name: value`, which other users cannot access.

    Raises:
        ConfigError: other users can access it, or a line is not a header, or one that is set anyway.
        StreamgmmError: the file cannot be read.
    """
    setting = "output.sinks: headers_file"
    headers: dict[str, str] = {}
    for number, line in enumerate(read_secret(path, setting, MAX_HEADERS_BYTES).splitlines(), 1):
        header = _HEADER.fullmatch(line)
        # Without the line itself, which may be a secret.
        if header is None and line.strip():
            raise ConfigError([f"{setting}: line {number} is not of the form Name: value"], where=str(path))
        if header is not None:
            if header["name"].lower() in _OWN_HEADERS:
                raise ConfigError([f"{setting}: line {number} sets {header['name']}, which is fixed"], where=str(path))
            headers[header["name"]] = header["value"]
    return headers


def read_key(path: Path) -> bytes:
    """Read the key of the signature from a file, without the newline at its end.

    Raises:
        ConfigError: other users can access it, or it is empty.
        StreamgmmError: the file cannot be read.
    """
    setting = "output.sinks: hmac_file"
    key = read_secret(path, setting, MAX_KEY_BYTES).rstrip("\r\n").encode()
    if not key:
        raise ConfigError([f"{setting}: is empty; make one with: openssl rand -hex 32"], where=str(path))
    return key


def _split(uri: str) -> SplitResult:
    scheme = uri.partition(":")[0]
    try:
        parts = urlsplit(uri)
        check_host(parts.hostname or "")
        is_valid = bool(parts.hostname) and parts.port != 0 and not parts.fragment
    except ValueError:
        is_valid = False
    # Without the URI, in messages too: its path or query may be secret.
    if is_valid and "@" in parts.netloc:
        hint = "put an Authorization header into a file, and name it by headers_file"
        raise ConfigError([f"output.sinks: {scheme}://...: {hint}"])
    if not is_valid or not uri.isascii() or not uri.isprintable() or " " in uri:
        raise ConfigError([f"output.sinks: {scheme}://... is not of the form {scheme}://HOST:PORT/PATH"])
    return parts


def _tls_context(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise ConfigError(["output.sinks: ca_file: holds no certificate, or cannot be read"], where=ca_file) from error
