"""Bridge from lines of records to a broker: what the child does between its start and its end."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import structs

from streamgmm.records import AnyRecord, decode_json
from streamgmm.sinks.child.protocol import Failure, Greeting
from streamgmm.sinks.mqtt.client import Client, describe_error
from streamgmm.sinks.mqtt.mirror import Mirror
from streamgmm.sinks.mqtt.protocol import Request

FIRST_RETRY_S, LAST_RETRY_S = 0.2, 10.0
"""Shortest and longest time between attempts to connect (s); they double."""

SLOW_RETRY_S = 60.0
"""Time between attempts where only other settings can help (s)."""

LOOK_S = 1.0
"""Longest time between looks at the connection (s)."""

FAREWELL_S = 0.4
"""Longest time for the last messages (s)."""

MAX_COMMAND_BYTES = 4096
"""Most bytes of a command; what follows is cut off, and so is no command."""

MAX_COMMANDS = 20
"""Most commands that are passed on within `LOOK_S`; the others of a flood are left out."""

ONLINE, OFFLINE = b"online", b"offline"

Report = Callable[[str], None]


class Bridge:
    """Publish records to the broker, and keep its retained topics up to date.

    Args:
        request: broker and topics.
        read: returns what has arrived on stdin, empty at its end.
        report: writes a line to stdout.
    """

    def __init__(self, request: Request, read: Callable[[], bytes], report: Report) -> None:
        self._request, self._read, self._report = request, read, report
        self._topics = request.topics
        self._client = Client(request, OFFLINE, self._take_message)
        self._mirror = Mirror(request)
        self._received = b""
        # Topics and payloads that the broker has retained, as far as this connection knows.
        self._published: dict[str, bytes] = {}
        self._greeting_left = 0
        self._last_seq = -1
        self._is_online = False
        self._is_answer_due = False
        self._n_refused_before = 0
        self._held: bytes | None = None
        # Retained messages of earlier runs, which may have had other labels or sources; None: not asked for yet.
        self._leftovers: dict[str, bytes] | None = None
        self._commands_since_s, self._n_commands = 0.0, 0
        self._retry_s = FIRST_RETRY_S
        self._next_try_s = self._connected_s = time.monotonic()

    def run(self) -> None:
        """Serve until the end of stdin."""
        while True:
            self._follow_connection()
            if self._wait(LOOK_S) and not self._take_input():
                self._say_farewell()
                self._report_refusals()
                return
            self._report_refusals()
            self._answer()

    def _wait(self, timeout_s: float) -> bool:
        """Move data between the client and the broker; return whether stdin is readable."""
        connection = self._client.socket()
        connections = [] if connection is None else [connection]
        due_s = timeout_s if connections else max(0.0, min(timeout_s, self._next_try_s - time.monotonic()))
        senders = connections if self._client.want_write() else []
        readable, writable, _ = select.select([0, *connections], senders, [], due_s)
        if connection in readable:
            self._client.read()
        if connection in writable:
            self._client.write()
        self._client.keep_alive()
        return 0 in readable

    def _follow_connection(self) -> None:
        """Connect if it is time to, and report a connection that has begun or ended."""
        if self._client.is_connected and not self._is_online:
            self._begin_connection()
        elif self._client.failure is not None:
            self._end_connection(self._client.failure)
        if self._client.socket() is None and time.monotonic() >= self._next_try_s:
            try:
                self._client.connect()
            except OSError as error:
                self._end_connection(describe_error(error, self._request))

    def _begin_connection(self) -> None:
        self._is_online = True
        self._connected_s = time.monotonic()
        self._published = {}
        if self._topics.discovery:
            self._client.subscribe([self._topics.birth])
        if self._request.has_commands:
            self._client.subscribe([self._topics.command])
        if self._leftovers is None:
            # Before anything is published, which would replace them.
            self._leftovers = {}
            config = [self._topics.config] if self._topics.discovery else []
            self._client.subscribe([f"{self._topics.base}/+/+/state", f"{self._topics.base}/+/health", *config])
        self._report("online")
        if self._held is not None:
            held, self._held = self._held, None
            self._take_line(held)

    def _end_connection(self, failure: Failure) -> None:
        self._client.failure = None
        if self._is_online and time.monotonic() - self._connected_s > LAST_RETRY_S:
            # Only a connection that lasts makes the next attempt early: one that is lost at once is as good as none.
            self._retry_s = FIRST_RETRY_S
        elif self._is_online and not failure.hint:
            # A broker ends the older one of two connections with the same name, and does not always say so.
            failure = structs.replace(failure, hint="if this repeats, does another daemon have the same `node`?")
        self._is_online = False
        self._next_try_s = time.monotonic() + (SLOW_RETRY_S if failure.is_slow else self._retry_s)
        self._retry_s = min(2.0 * self._retry_s, LAST_RETRY_S)
        self._report(f"offline {msgspec.json.encode(failure).decode()}")

    def _take_input(self) -> bool:
        """Take what has arrived on stdin; return False at its end."""
        arrived = self._read()
        *lines, self._received = (self._received + arrived).split(b"\n")
        for line in lines:
            self._take_line(line)
        return bool(arrived)

    def _take_line(self, line: bytes) -> None:
        if line.startswith(b'{"greeting"'):
            greeting = msgspec.json.decode(line, type=Greeting)
            self._greeting_left, self._last_seq = greeting.greeting, greeting.seq
            self._mirror.begin()
        elif self._greeting_left:
            self._greeting_left -= 1
            self._mirror.apply(decode_json(line), line)
        elif self._is_online:
            self._take_record(decode_json(line), line)
        else:
            # The connection was lost while the line was on its way; it is the only one, as it has no answer yet.
            self._held = line
            return
        if not self._greeting_left:
            self._synchronise()
            self._is_answer_due = True

    def _take_record(self, record: AnyRecord, line: bytes) -> None:
        # Before the event, so that whoever reacts to it finds the new state.
        if record.seq > self._last_seq:
            self._mirror.apply(record, line)
            self._synchronise()
        if type(record).__struct_config__.tag in self._request.types:
            self._report("sent")
            self._client.publish(self._topics.event(record.source), line, retain=False)

    def _synchronise(self) -> None:
        """Publish every retained topic that is not as it should be; remove those that are no more."""
        if not self._is_online:
            return
        # Last, so that nobody takes the states of an earlier run for current ones.
        wanted = {**self._mirror.to_payloads(), self._topics.status: ONLINE}
        for topic in self._published.keys() - wanted.keys():
            wanted[topic] = b""
        for topic, payload in wanted.items():
            if self._published.get(topic) != payload:
                self._client.publish(topic, payload, retain=True)
        self._published = {topic: payload for topic, payload in wanted.items() if payload}
        if self._leftovers and self._mirror.is_complete:
            self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        leftovers, self._leftovers = self._leftovers or {}, {}
        platforms = _platforms_in(leftovers.pop(self._topics.config, b"{}"))
        for topic in leftovers.keys() - self._published.keys():
            self._client.publish(topic, b"", retain=True)
        removed = {key: platforms[key] for key in platforms.keys() - self._mirror.components.keys()}
        if removed:
            self._mirror.removed |= removed
            self._synchronise()

    def _take_message(self, topic: str, payload: bytes, is_retained: bool) -> None:
        if topic == self._topics.command:
            self._take_command(payload, is_retained)
        elif topic == self._topics.birth:
            if payload == ONLINE and not is_retained:
                # Home Assistant has started, and has to learn of all entities and states.
                self._published = {}
                self._synchronise()
        elif is_retained and self._leftovers is not None:
            self._leftovers[topic] = payload
            self._synchronise()

    def _take_command(self, payload: bytes, is_retained: bool) -> None:
        """Pass on a command, unless it is an old one that the broker kept, or one of a flood."""
        now_s = time.monotonic()
        if now_s - self._commands_since_s > LOOK_S:
            self._commands_since_s, self._n_commands = now_s, 0
        self._n_commands += 1
        # A retained pause would come again with every connection.
        if not is_retained and self._n_commands <= MAX_COMMANDS:
            text = payload[:MAX_COMMAND_BYTES].decode("utf-8", "replace")
            self._report(f"command {msgspec.json.encode(text).decode()}")

    def _report_refusals(self) -> None:
        for refusal in self._client.take_refusals():
            self._report(f"refusal {msgspec.json.encode(refusal).decode()}")

    def _answer(self) -> None:
        if self._is_answer_due and not self._client.pending:
            self._is_answer_due = False
            self._report("done" if self._client.n_refused == self._n_refused_before else "refused")
            self._n_refused_before = self._client.n_refused

    def _say_farewell(self) -> None:
        if not self._is_online:
            return
        self._mirror.end()
        self._synchronise()
        self._client.publish(self._topics.status, OFFLINE, retain=True)
        deadline_s = time.monotonic() + FAREWELL_S
        self._flush(lambda: bool(self._client.pending), deadline_s)
        self._client.disconnect()
        self._flush(self._client.want_write, deadline_s)

    def _flush(self, is_unfinished: Callable[[], bool], deadline_s: float) -> None:
        while is_unfinished() and (left_s := deadline_s - time.monotonic()) > 0.0:
            connection = self._client.socket()
            if connection is None:
                return
            senders = [connection] if self._client.want_write() else []
            readable, writable, _ = select.select([connection], senders, [], left_s)
            if readable:
                self._client.read()
            if writable:
                self._client.write()


def _platforms_in(payload: bytes) -> dict[str, str]:
    """Return the platform of each entity in a discovery message of an earlier run; none if it is not one."""
    try:
        message: dict[str, Any] = msgspec.json.decode(payload, type=dict[str, Any])
        return {key: str(component["platform"]) for key, component in message["components"].items()}
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return {}
