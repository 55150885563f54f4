"""Removal of all retained messages of a daemon from its broker, and so of its device from Home Assistant."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

import msgspec

from streamgmm.sinks.child.protocol import Failure
from streamgmm.sinks.mqtt.bridge import OFFLINE, ONLINE
from streamgmm.sinks.mqtt.client import Client, describe_error
from streamgmm.sinks.mqtt.protocol import Request

QUIET_S = 0.5
"""Time without a message after which the broker has sent all that it retains (s)."""


class Removal:
    """Empty every retained topic of a daemon that no longer runs.

    Args:
        request: broker and topics.
        report: writes a line to stdout (see `protocol`): `offline` with the failure, or `removed`.
    """

    def __init__(self, request: Request, report: Callable[[str], None]) -> None:
        self._request, self._report = request, report
        self._client = Client(request, OFFLINE, self._take_message, is_visitor=True)
        self._retained: set[str] = set()
        self._is_in_use = False
        self._latest_s = 0.0

    def run(self) -> None:
        """Remove what there is."""
        failure = self._remove()
        if failure is None:
            self._report(f"removed {len(self._retained)}")
        else:
            self._report(f"offline {msgspec.json.encode(failure).decode()}")

    def _remove(self) -> Failure | None:
        try:
            self._client.connect()
        except OSError as error:
            return describe_error(error, self._request)
        self._serve(lambda: self._client.is_connected)
        topics = self._request.topics
        self._client.subscribe([f"{topics.base}/#", *([topics.config] if topics.discovery else [])])
        self._latest_s = time.monotonic()
        self._serve(lambda: time.monotonic() - self._latest_s > QUIET_S)
        if self._is_in_use:
            return Failure("a daemon publishes there", "stop it, or remove the sink from its settings and restart it")
        for topic in self._retained:
            self._client.publish(topic, b"", retain=True)
        self._serve(lambda: not self._client.pending)
        # A broker that lets nothing be read or emptied leaves all as it was.
        return self._client.failure or next(iter(self._client.take_refusals()), None)

    def _serve(self, is_over: Callable[[], bool]) -> None:
        """Serve the connection until `is_over`, or until it ends."""
        while self._client.failure is None and not is_over():
            connection = self._client.socket()
            senders = [connection] if self._client.want_write() else []
            readable, writable, _ = select.select([connection], senders, [], QUIET_S)
            if readable:
                self._client.read()
            if writable:
                self._client.write()
            self._client.keep_alive()

    def _take_message(self, topic: str, payload: bytes, is_retained: bool) -> None:
        if is_retained:
            self._latest_s = time.monotonic()
            self._retained.add(topic)
            self._is_in_use |= topic == self._request.topics.status and payload == ONLINE
