"""Serve records to the subscribers of one socket: one thread, one selector, and a queue for each subscriber."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from functools import partial

from streamgmm.errors import OutputError, StreamgmmError, SystemResourceError
from streamgmm.records import encode_json
from streamgmm.sinks.control import PREFIX, Obey, Reply, encode_reply, obey_line
from streamgmm.sinks.greeting import Greeting
from streamgmm.sinks.queue import RecordQueue
from streamgmm.sinks.selection import Selection
from streamgmm.sinks.sink import Message, OnFailure, Snapshot, report_bug, start_thread
from streamgmm.sinks.socket.door import Door
from streamgmm.sinks.socket.hangups import is_abandoned
from streamgmm.sinks.socket.listeners import Listener, may_control
from streamgmm.sinks.socket.lobby import STATUS_REQUEST, Enquiry, Lobby
from streamgmm.sinks.socket.poller import Poller
from streamgmm.sinks.socket.subscriber import CloseReason, Subscriber
from streamgmm.sinks.socket.token import Handshake, Token
from streamgmm.sinks.socket.wakeup import WakeUp
from streamgmm.wording import escaped

logger = logging.getLogger("streamgmm.sinks")

SEND_SPACE_BYTES = 64 * 1024
"""Send buffer of the kernel for one client (SO_SNDBUF); small, so that a stalled client is detected soon."""

ADDRESS_LOOK_S = 5.0
"""Interval between checks that clients can still reach the address (s)."""


class SocketSink:
    """Serve the subscribers of one listener with JSON Lines, whatever the format of stdout.

    Args:
        listener: address where clients connect.
        max_clients: most subscribers at once; further clients get an `error` record and are disconnected.
        max_records: most records queued for each slow subscriber.
        token: token that a client must send before it receives anything; None: no token.
        selection: the records that subscribers receive; None: all.
        clock: monotonic time (s).

    Attributes:
        name: URI of the sink as configured.
        n_closed: number of connections closed so far, by reason.
        snapshot: returns the statuses for the greeting of a new subscriber; None: the greeting contains the last
            published statuses.
        obey: obeys the commands of clients; None: there are none.
    """

    def __init__(
        self,
        listener: Listener,
        *,
        max_clients: int = 64,
        max_records: int = 1024,
        token: Token | None = None,
        selection: Selection | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = listener.uri
        self.n_closed: Counter[CloseReason] = Counter()
        self._listener = listener
        self._max_clients = max_clients
        self._max_records = max_records
        self._token = token
        self._selection = selection or Selection()
        self._clock = clock
        self._next_look_s = clock() + ADDRESS_LOOK_S
        # The failure that was logged last, so that one that persists is logged once.
        self._missed_for = ""
        self._greeting = Greeting()
        self.snapshot: Snapshot | None = None
        self.obey: Obey | None = None
        self._clients: list[Subscriber] = []
        # Held while a record is published and while a client is added, so that the client receives each record
        # exactly once: in its greeting or in its queue.
        self._lock = threading.Lock()
        self._resources = ExitStack()
        self._is_closing = False
        self._is_abandoned = False
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """Address where clients connect, with the port that the system chose."""
        return self._listener.address

    @property
    def n_clients(self) -> int:
        """Number of subscribers at this moment."""
        return len(self._clients)

    @property
    def n_rejected(self) -> int:
        """Number of rejected clients, for any reason."""
        return self._door.n_rejected

    def open(self, on_failure: OnFailure) -> None:
        """Listen, and start the thread that serves the clients.

        Raises:
            CannotCreateError: the address is in use or does not exist.
            PermissionDeniedError: the user may not listen there.
            SystemResourceError: the system refused a thread or a descriptor.
        """
        self._on_failure = on_failure
        try:
            self._claim()
            self._thread = start_thread(self._run, self.name)
        except BaseException as error:
            self._resources.close()
            if not isinstance(error, OSError):
                raise
            reason = os.strerror(error.errno or 0)
            raise SystemResourceError(f"cannot listen: {reason}", where=self.name, hint="raise ulimit -n") from error

    def publish(self, message: Message) -> None:
        """Queue a record for every subscriber."""
        with self._lock:
            if self._thread is None or self._is_closing:
                return
            is_wanted = self._selection.admits(message.record)
            self._greeting.update(message, is_wanted=is_wanted)
            for client in self._clients if is_wanted else ():
                client.offer(message)
            self._wake_up.ring()

    def drain(self) -> None:
        """Do nothing: a socket never waits for a reader, and restores its address by itself."""

    hurry = reopen = drain

    def close(self, timeout_s: float) -> None:
        """Send queued records, for at most `timeout_s` seconds, then close every connection."""
        with self._lock:
            if self._thread is None or self._is_closing:
                return
            self._is_closing = True
        self._wake_up.ring()
        self._thread.join(timeout_s)
        self._is_abandoned = True
        self._wake_up.ring()
        self._thread.join()

    def _claim(self) -> None:
        self._door = self._resources.enter_context(closing(Door(self._listener)))
        self._wake_up = self._resources.enter_context(closing(WakeUp()))
        self._poller = self._resources.enter_context(closing(Poller()))
        self._lobby = self._resources.enter_context(closing(Lobby(self._poller, self._clock)))
        self._poller.watch(self._door, self._accept)
        self._poller.watch(self._wake_up, self._wake_up.clear)

    def _run(self) -> None:
        try:
            while not self._is_finished():
                self._turn()
        except OSError as error:
            self._on_failure(OutputError(f"cannot serve: {os.strerror(error.errno or 0)}", where=self.name))
        except Exception as error:
            self._on_failure(report_bug(error, self.name))
        finally:
            self._let_go()

    def _is_finished(self) -> bool:
        return self._is_abandoned or (self._is_closing and not any(client.is_waiting for client in self._clients))

    def _turn(self) -> None:
        self._poller.wait(self._patience_s())
        for client in tuple(self._clients):
            self._send(client)
        self._lobby.cut_late()
        self._look_after_door()

    def _patience_s(self) -> float:
        """Return the time until the next deadline (s)."""
        deadlines_s = [client.stall_deadline_s for client in self._clients if client.stall_deadline_s is not None]
        return max(0.0, min([self._next_look_s, *deadlines_s, *self._lobby.deadlines_s]) - self._clock())

    def _look_after_door(self) -> None:
        """Listen at the address again if its socket file was removed; present clients stay connected."""
        if self._clock() < self._next_look_s:
            return
        self._next_look_s = self._clock() + ADDRESS_LOOK_S
        self._drop_gone()
        if self._door.is_in_place():
            return
        # Before `reopen`: the selector knows the descriptor by its number, which will change.
        self._poller.forget(self._door)
        try:
            self._door.reopen()
            self._missed_for = ""
            logger.warning("sink.recovered sink=%s reason=its place had been removed", self.name)
        except (OSError, StreamgmmError) as error:
            if str(error) != self._missed_for:
                self._missed_for = str(error)
                logger.error("sink.failed sink=%s reason=%s; trying again every %g s", self.name, error, ADDRESS_LOOK_S)
        finally:
            self._poller.watch(self._door, self._accept)

    def _accept(self) -> None:
        for connection in self._door.accept_some():
            try:
                peer = self._listener.peer_of(connection)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_SPACE_BYTES)
            except OSError:
                connection.close()  # the client has disconnected already
                continue
            if self._token is None:
                self._admit(connection, peer)
            else:
                self._challenge(Handshake(connection, peer, self._token, self._clock()))

    def _challenge(self, handshake: Handshake) -> None:
        self._lobby.let_wait(
            handshake,
            granted=lambda: self._admit(handshake.connection, handshake.peer, handshake.rest),
            denied=partial(self._door.refuse, handshake.connection, "token"),
        )

    def _admit(self, connection: socket.socket, peer: str, said: bytes = b"") -> None:
        if not self._has_room():
            self._refuse(connection, peer, said)
            return
        # Outside of the lock, which others need to publish while the daemon collects the statuses.
        after_seq, now = self._greeting.last_seq, self._selection.current_statuses(self.snapshot)
        queue = RecordQueue(self._max_records, announce=self._selection.announced_with(encode_json))
        with self._lock:
            client = Subscriber(connection, peer, self._greeting.to_bytes(now, after_seq=after_seq), queue)
            self._poller.watch(connection, partial(self._receive, client))
            self._clients.append(client)
        logger.info("client.connected sink=%s peer=%s", self.name, peer)

    def _refuse(self, connection: socket.socket, peer: str, said: bytes) -> None:
        """Reject a client because there are too many, unless it only requests the status or sends a command."""
        if said.startswith(STATUS_REQUEST):
            self._answer(connection, peer, said)
        elif self._token is not None:
            self._door.refuse(connection)
        else:
            enquiry = Enquiry(connection, self._clock())
            self._lobby.let_wait(
                enquiry,
                granted=lambda: self._answer(connection, peer, enquiry.said),
                denied=partial(self._door.refuse, connection),
            )

    def _has_room(self) -> bool:
        """Return whether one more client is allowed; if needed, drop a client that is most likely gone."""
        if len(self._clients) >= self._max_clients:
            self._drop_gone()
        if len(self._clients) >= self._max_clients:
            for client in [client for client in self._clients if client.may_be_gone(self._clock())][:1]:
                self._drop(client, "eof")
        return len(self._clients) < self._max_clients

    def _drop_gone(self) -> None:
        for client in tuple(self._clients):
            if client.is_mute and is_abandoned(client.connection):
                self._drop(client, "eof")

    def _answer(self, connection: socket.socket, peer: str, said: bytes) -> None:
        """Send the greeting, or the reply to a command, to a client that is not admitted, and disconnect it."""
        with connection, suppress(OSError):
            if said.startswith(PREFIX):
                connection.send(self._reply_to(said.partition(b"\n")[0], connection, peer))
                return
            after_seq, now = self._greeting.last_seq, self._selection.current_statuses(self.snapshot)
            with self._lock:
                connection.send(self._greeting.to_bytes(now, after_seq=after_seq))
        logger.info("client.answered sink=%s peer=%s", self.name, peer)

    def _receive(self, client: Subscriber) -> None:
        if reason := client.receive(self._clock()):
            self._drop(client, reason)
            return
        if command := client.take_command():
            client.reply(self._reply_to(command, client.connection, client.peer))
        if client.is_mute:
            self._poller.watch_end(client.connection, partial(self._drop, client, "eof"))

    def _reply_to(self, command: bytes, connection: socket.socket, peer: str) -> bytes:
        if may_control(connection):
            reply = obey_line(command, self.obey, peer)
        else:
            reply = Reply("only the user of the daemon, or root, may control it, over its UNIX socket")
        if reply.refused:
            logger.warning("control.refused sink=%s peer=%s reason=%s", self.name, peer, escaped(reply.refused))
        return encode_reply(reply)

    def _send(self, client: Subscriber) -> None:
        if reason := client.send(self._clock()):
            self._drop(client, reason)
            return
        # A client that has closed its sending half is always readable, and watching it would cause a busy loop.
        on_readable = partial(self._receive, client)
        self._poller.watch(client.connection, on_readable, reads=not client.is_mute, writes=client.is_waiting)

    def _drop(self, client: Subscriber, reason: CloseReason) -> None:
        if client not in self._clients:  # an event of a client that was dropped in the same turn
            return
        with self._lock:
            self._clients.remove(client)
        self._poller.forget(client.connection)
        client.connection.close()
        self.n_closed[reason] += 1
        facts = (client.peer, reason, client.queue.n_popped, client.queue.n_dropped)
        logger.info("client.closed sink=%s peer=%s reason=%s sent=%d dropped=%d", self.name, *facts)

    def _let_go(self) -> None:
        with self._lock:
            self._is_closing = True
        for client in tuple(self._clients):
            self._drop(client, "shutdown")
        self._resources.close()
