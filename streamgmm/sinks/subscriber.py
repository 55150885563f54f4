"""One client of a socket: what waits for it, and when it has to go."""

from __future__ import annotations

import socket
import threading
from typing import Literal

from streamgmm.sinks.queue import RecordQueue
from streamgmm.sinks.sink import Message

STALL_S = 10.0
"""A client that takes nothing for so long while records wait is cut (seconds)."""

SEND_BYTES = 16 * 1024
"""About what is handed to the system at once; it can no longer be dropped, so it is small."""

MAX_INPUT_BYTES = 4096
"""A client has nothing to say; one that sends more than this is cut."""

CloseReason = Literal["eof", "reset", "slow", "protocol", "shutdown"]


class Subscriber:
    """A client, its queue, and the part of its lines that the system has not taken yet.

    `offer` belongs to the publishing thread, everything else to the thread that serves the sockets.

    Args:
        connection: its socket; made non-blocking.
        peer: who it is, for the log.
        greeting: lines that it gets first; they are never dropped.
        queue: its queue.
    """

    def __init__(self, connection: socket.socket, peer: str, greeting: bytes, queue: RecordQueue) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.peer = peer
        self.queue = queue
        self.stall_deadline_s: float | None = None
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

    def receive(self) -> CloseReason | None:
        """Read and forget what the client sent; returns why it has to go, if it has to."""
        try:
            received = self.connection.recv(MAX_INPUT_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return "reset"
        self._n_input_bytes += len(received)
        if not received:
            return "eof"
        return "protocol" if self._n_input_bytes > MAX_INPUT_BYTES else None

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
