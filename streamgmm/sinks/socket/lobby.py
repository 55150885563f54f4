"""Pending clients, which must send something before they become subscribers, within a short time."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from streamgmm.sinks.control import PREFIX
from streamgmm.sinks.socket.poller import Poller
from streamgmm.sinks.socket.token import Answer

MAX_VISITORS = 16
"""Most pending clients at once; one more replaces the one that has waited longest."""

STATUS_REQUEST = b"status\n"
"""Line sent by a client that requests only the greeting, which is sent even if there are too many subscribers."""

ENQUIRY_S = 1.0
"""Time within which a client may request the status if there are too many subscribers (s)."""

MAX_ENQUIRY_BYTES = 4096
"""Most bytes of such a request."""


class Visitor(Protocol):
    """A pending client.

    Attributes:
        connection: socket of the client, non-blocking.
        deadline_s: monotonic time when the client is rejected (s).
    """

    connection: socket.socket
    deadline_s: float

    def receive(self) -> Answer:
        """Read what the client sent, without blocking, and decide."""


class Enquiry:
    """A client beyond the limit of subscribers, which may still request the status or send a command.

    Args:
        connection: socket of the client; made non-blocking.
        now_s: monotonic time (s).

    Attributes:
        said: what the client sent.
    """

    def __init__(self, connection: socket.socket, now_s: float) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.deadline_s = now_s + ENQUIRY_S
        self.said = b""

    def receive(self) -> Answer:
        """Grant a request for the status or a command, and deny anything else at once."""
        try:
            received = self.connection.recv(MAX_ENQUIRY_BYTES - len(self.said))
        except BlockingIOError:
            return "waiting"
        except OSError:
            return "denied"
        self.said += received
        is_either = any(self.said.startswith(begin[: len(self.said)]) for begin in (STATUS_REQUEST, PREFIX))
        if is_either and self.said.endswith(b"\n"):
            return "granted"
        return "waiting" if received and is_either else "denied"


class _Waiting(NamedTuple):
    visitor: Visitor
    outcomes: dict[Answer, Callable[[], None]]


class Lobby:
    """Pending clients of one socket; used only by the thread that serves the socket.

    Args:
        poller: wakes that thread when a client sends something.
        clock: monotonic time (s).
    """

    def __init__(self, poller: Poller, clock: Callable[[], float]) -> None:
        self._poller = poller
        self._clock = clock
        self._waiting: list[_Waiting] = []

    @property
    def deadlines_s(self) -> list[float]:
        """Monotonic time when each pending client is rejected (s)."""
        return [waiting.visitor.deadline_s for waiting in self._waiting]

    def let_wait(self, visitor: Visitor, granted: Callable[[], None], denied: Callable[[], None]) -> None:
        """Wait for the decision about `visitor`, then call `granted` or `denied`, which takes over its connection."""
        # Limited, as anybody can connect: unknown clients must not use up the descriptors of the process.
        while len(self._waiting) >= MAX_VISITORS:
            self._end(self._waiting[0], "denied")
        waiting = _Waiting(visitor, {"granted": granted, "denied": denied})
        self._waiting.append(waiting)
        self._poller.watch(visitor.connection, partial(self._hear, waiting))
        self._hear(waiting)

    def cut_late(self) -> None:
        """Reject clients whose deadline has passed."""
        for waiting in tuple(self._waiting):
            if self._clock() >= waiting.visitor.deadline_s:
                self._end(waiting, "denied")

    def close(self) -> None:
        """Close all pending connections without an answer."""
        for waiting in self._waiting:
            waiting.visitor.connection.close()

    def _hear(self, waiting: _Waiting) -> None:
        # The event may concern a client that was replaced by another one in the same turn.
        if waiting in self._waiting:
            self._end(waiting, waiting.visitor.receive())

    def _end(self, waiting: _Waiting, answer: Answer) -> None:
        if answer != "waiting":
            self._waiting.remove(waiting)
            # Before the outcome, which closes the connection or watches it as that of a subscriber.
            self._poller.forget(waiting.visitor.connection)
            waiting.outcomes[answer]()
