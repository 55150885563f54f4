"""One client of a socket: what waits for it, and when it has to go."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Literal

from streamgmm.sinks.hangups import is_abandoned, is_hung_up
from streamgmm.sinks.queue import RecordQueue
from streamgmm.sinks.sink import Message

STALL_S = 10.0
"""A client that takes nothing for so long while records wait is cut (seconds)."""

SEND_BYTES = 16 * 1024
"""About what is handed to the system at once; it can no longer be dropped, so it is small."""

MAX_INPUT_BYTES = 4096
"""A client has nothing to say; one that sends more than this is cut."""

PROBE_S = 5.0
"""How often the system asks for a TCP client that has closed its sending half (seconds)."""

DOUBT_S = 75.0
"""How long such a client may have left altogether unnoticed: its system answers for it for a minute (tcp(7),
tcp_fin_timeout), and then the next of the questions shows it."""

CloseReason = Literal["eof", "reset", "slow", "protocol", "shutdown"]


class Subscriber:
    """A client, its queue, and the part of its lines that the system has not taken yet.

    `offer` belongs to the publishing thread, everything else to the thread that serves the sockets.

    Args:
        connection: its socket; made non-blocking.
        peer: who it is, for the log.
        greeting: lines that it gets first; they are never dropped.
        queue: its queue.

    Attributes:
        stall_deadline_s: when it has to go if it takes nothing until then (monotonic time); None: nothing waits.
        is_mute: whether it has closed its sending half. Such a client goes on receiving.
    """

    def __init__(self, connection: socket.socket, peer: str, greeting: bytes, queue: RecordQueue) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.peer = peer
        self.queue = queue
        self.stall_deadline_s: float | None = None
        self.is_mute = False
        self._mute_since_s = 0.0
        self._unsent = memoryview(greeting)
        self._n_input_bytes = 0
        self._lock = threading.Lock()

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to send."""
        return bool(self._unsent) or self.queue.is_waiting

    def offer(self, message: Message) -> None:
        """Queue a record."""
        with self._lock:
            self.queue.push(*message)

    def send(self, now_s: float) -> CloseReason | None:
        """Hand some of what waits to the system, without blocking; returns why the client has to go, if it has to.

        Args:
            now_s: monotonic time, for `stall_deadline_s`.
        """
        try:
            n_sent_bytes = self._send_some()
        except OSError:
            return "reset"
        if not self.is_waiting:
            self.stall_deadline_s = None
        elif n_sent_bytes > 0 or self.stall_deadline_s is None:
            self.stall_deadline_s = now_s + STALL_S
        is_stalled = self.stall_deadline_s is not None and now_s >= self.stall_deadline_s
        return "slow" if is_stalled else None

    def receive(self, now_s: float = 0.0) -> CloseReason | None:
        """Read and forget what the client sent; returns why it has to go, if it has to.

        Args:
            now_s: monotonic time, for `may_be_gone`.
        """
        try:
            received = self.connection.recv(MAX_INPUT_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return "reset"
        self._n_input_bytes += len(received)
        if not received and (is_hung_up(self.connection) or is_abandoned(self.connection)):
            return "eof"
        if not received:
            self._fall_mute(now_s)
        return "protocol" if self._n_input_bytes > MAX_INPUT_BYTES else None

    def may_be_gone(self, now_s: float) -> bool:
        """Return whether it has closed its sending half so lately that nobody knows yet if it still listens.

        The kernel tells the end of both halves of a UNIX socket; over TCP they look the same at first.
        """
        return self.is_mute and self.connection.family != socket.AF_UNIX and now_s < self._mute_since_s + DOUBT_S

    def _fall_mute(self, now_s: float) -> None:
        """It has nothing more to say (`nc -N`), but listens on."""
        self.is_mute = True
        self._mute_since_s = now_s
        if self.connection.family != socket.AF_UNIX:
            # Not every system has these, and the connection may be over by now.
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
        # The rest of a line stays first in turn, so a reader never sees half a record followed by another.
        self._unsent = self._unsent[n_sent_bytes:]
        return n_sent_bytes

    def _take_lines(self) -> bytes:
        lines = bytearray()
        with self._lock:
            while len(lines) < SEND_BYTES and (line := self.queue.pop()) is not None:
                lines += line
        return bytes(lines)
