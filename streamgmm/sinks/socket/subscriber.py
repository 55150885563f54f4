"""Subscriber: one client of a socket, its queue, and the rules for disconnecting it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Literal

from streamgmm.sinks.control import PREFIX
from streamgmm.sinks.queue import RecordQueue
from streamgmm.sinks.sink import Message
from streamgmm.sinks.socket.hangups import is_abandoned, is_hung_up

STALL_S = 10.0
"""Time after which a client that accepts nothing while records wait is disconnected (s)."""

SEND_BYTES = 16 * 1024
"""Approximate number of bytes taken from the queue at once; small, because they can no longer be dropped."""

MAX_INPUT_BYTES = 4096
"""Most bytes that a client may send, in commands, as it need not send any; one that sends more is disconnected."""

PROBE_S = 5.0
"""Interval of keepalive probes to a TCP client that has closed its sending half (s)."""

MUTE_DOUBT_S = 75.0
"""Time for which it may remain undetected that such a client is gone (s): its kernel answers probes for a minute
(tcp(7), tcp_fin_timeout), then the next probe detects it."""

CloseReason = Literal["eof", "reset", "slow", "protocol", "shutdown"]


class Subscriber:
    """A client, its queue, and the part of its lines that the kernel has not accepted yet.

    `offer` is called by publishing threads, everything else by the thread that serves the socket.

    Args:
        connection: socket of the client; made non-blocking.
        peer: description of the client, for the log.
        greeting: lines that are sent first; they are never dropped.
        queue: queue of the client.

    Attributes:
        stall_deadline_s: monotonic time when the client is disconnected if it accepts nothing until then (s); None
            while nothing waits.
        is_mute: whether the client has closed its sending half. Such a client still receives records.
    """

    def __init__(self, connection: socket.socket, peer: str, greeting: bytes, queue: RecordQueue) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.peer = peer
        self.queue = queue
        self.stall_deadline_s: float | None = None
        self.is_mute = False
        self._mute_since_s = 0.0
        # A view, from which a sent part is cut off without a copy.
        self._unsent = memoryview(greeting)
        self._n_input_bytes = 0
        self._said = b""
        # Protects the queue. `is_waiting` reads it without the lock: a record that is missed rings the wake-up anyway.
        self._lock = threading.Lock()

    @property
    def is_waiting(self) -> bool:
        """Return whether there is something to send."""
        return bool(self._unsent) or self.queue.is_waiting

    def offer(self, message: Message) -> None:
        """Queue a record for this client."""
        with self._lock:
            self.queue.push(*message)

    def send(self, now_s: float) -> CloseReason | None:
        """Send some of the waiting lines, without blocking; return the reason if the client must be disconnected.

        Args:
            now_s: monotonic time (s), for `stall_deadline_s`.
        """
        try:
            n_sent_bytes = self._send_some()
        except OSError:
            return "reset"
        if not self.is_waiting:
            self.stall_deadline_s = None
        # Any progress restarts the time, so a slow client is kept, and one that accepts nothing is not.
        elif n_sent_bytes > 0 or self.stall_deadline_s is None:
            self.stall_deadline_s = now_s + STALL_S
        is_stalled = self.stall_deadline_s is not None and now_s >= self.stall_deadline_s
        return "slow" if is_stalled else None

    def receive(self, now_s: float = 0.0) -> CloseReason | None:
        """Read what the client sent, see `take_command`; return the reason if the client must be disconnected.

        Args:
            now_s: monotonic time (s), for `may_be_gone`.
        """
        try:
            received = self.connection.recv(MAX_INPUT_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return "reset"
        self._n_input_bytes += len(received)
        self._said += received
        # The end of the input alone does not mean that the client is gone.
        if not received and (is_hung_up(self.connection) or is_abandoned(self.connection)):
            return "eof"
        if not received:
            self._fall_mute(now_s)
        return "protocol" if self._n_input_bytes > MAX_INPUT_BYTES else None

    def take_command(self) -> bytes:
        """Return the line with a command that was received, empty if there is none.

        Of several that came at once, the first one: a client waits for its reply, and a flood is not worth its log.
        """
        *lines, self._said = self._said.split(b"\n")
        return next((line for line in lines if line.startswith(PREFIX)), b"")

    def reply(self, line: bytes) -> None:
        """Send a line to this client alone, before all that waits in its queue."""
        self._unsent = memoryview(bytes(self._unsent) + line)

    def may_be_gone(self, now_s: float) -> bool:
        """Return whether the client has closed its sending half so recently that it may be gone altogether.

        For a UNIX socket the kernel reports the end of both halves; over TCP they look the same at first.
        """
        return self.is_mute and self.connection.family != socket.AF_UNIX and now_s < self._mute_since_s + MUTE_DOUBT_S

    def _fall_mute(self, now_s: float) -> None:
        """Handle a client that has closed its sending half (as `nc -N` does) but still receives."""
        self.is_mute = True
        self._mute_since_s = now_s
        if self.connection.family != socket.AF_UNIX:
            # Not every system has these options, and the connection may be closed by now.
            for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
                with suppress(AttributeError, OSError):
                    self.connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), int(PROBE_S))

    def _send_some(self) -> int:
        if not self._unsent:
            self._unsent = memoryview(self._take_lines())
        if not self._unsent:
            return 0
        try:
            n_sent_bytes = self.connection.send(self._unsent)
        except BlockingIOError:
            return 0
        # The rest of a line is sent before any other, so that a reader never sees half a record followed by another.
        self._unsent = self._unsent[n_sent_bytes:]
        return n_sent_bytes

    def _take_lines(self) -> bytes:
        lines = bytearray()
        with self._lock:
            while len(lines) < SEND_BYTES and (line := self.queue.pop()) is not None:
                lines += line
        return bytes(lines)
