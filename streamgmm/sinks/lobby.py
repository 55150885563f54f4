"""Clients that are not subscribers yet: each has to say something first, and has little time for it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from streamgmm.sinks.poller import Poller
from streamgmm.sinks.token import Answer

MAX_VISITORS = 16
"""Clients that wait at once; for one more, the one that has waited longest has to go."""

STATUS_REQUEST = b"status\n"
"""What a client sends that wants the greeting and no more; it gets that even if every place is taken."""

ENQUIRY_S = 1.0
"""A client that finds every place taken may ask for the status for so long (seconds)."""


class Visitor(Protocol):
    """A client that has to say something.

    Attributes:
        connection: its socket, non-blocking.
        deadline_s: when it is turned away (monotonic time).
    """

    connection: socket.socket
    deadline_s: float

    def receive(self) -> Answer:
        """Read what it says, without blocking."""


class Enquiry:
    """A client for which there is no place, but which may only want to know how the daemon is.

    Args:
        connection: its socket; made non-blocking.
        now_s: monotonic time.
    """

    def __init__(self, connection: socket.socket, now_s: float) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.deadline_s = now_s + ENQUIRY_S
        self._said = b""

    def receive(self) -> Answer:
        """Grant the request for the status, and deny anything else at once."""
        try:
            received = self.connection.recv(len(STATUS_REQUEST) - len(self._said))
        except BlockingIOError:
            return "waiting"
        except OSError:
            return "denied"
        self._said += received
        if self._said == STATUS_REQUEST:
            return "granted"
        return "waiting" if received and STATUS_REQUEST.startswith(self._said) else "denied"


class _Waiting(NamedTuple):
    visitor: Visitor
    outcomes: dict[Answer, Callable[[], None]]


class Lobby:
    """Where visitors wait; belongs to the thread that serves the sockets.

    Args:
        poller: wakes that thread when one of them says something.
        clock: monotonic seconds.
    """

    def __init__(self, poller: Poller, clock: Callable[[], float]) -> None:
        self._poller = poller
        self._clock = clock
        self._waiting: list[_Waiting] = []

    @property
    def deadlines_s(self) -> list[float]:
        """When each visitor is turned away."""
        return [waiting.visitor.deadline_s for waiting in self._waiting]

    def let_wait(self, visitor: Visitor, granted: Callable[[], None], denied: Callable[[], None]) -> None:
        """Wait until `visitor` has said it, and call `granted` or `denied` then; either takes its connection over."""
        # Strangers take no subscriber's place, and few places in all.
        while len(self._waiting) >= MAX_VISITORS:
            self._end(self._waiting[0], "denied")
        waiting = _Waiting(visitor, {"granted": granted, "denied": denied})
        self._waiting.append(waiting)
        self._poller.watch(visitor.connection, partial(self._hear, waiting))
        self._hear(waiting)

    def cut_late(self) -> None:
        """Turn those away whose time is over."""
        for waiting in tuple(self._waiting):
            if self._clock() >= waiting.visitor.deadline_s:
                self._end(waiting, "denied")

    def close(self) -> None:
        """Leave all of them without an answer."""
        for waiting in self._waiting:
            waiting.visitor.connection.close()

    def _hear(self, waiting: _Waiting) -> None:
        # An event may be that of one that gave way to another in the same turn.
        if waiting in self._waiting:
            self._end(waiting, waiting.visitor.receive())

    def _end(self, waiting: _Waiting, answer: Answer) -> None:
        if answer != "waiting":
            self._waiting.remove(waiting)
            self._poller.forget(waiting.visitor.connection)
            waiting.outcomes[answer]()
