"""Publish to an MQTT broker: `mqtt://HOST/PREFIX` and `mqtts://HOST/PREFIX`, with discovery by Home Assistant."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Unpack

import msgspec

from streamgmm.errors import OutputError, StreamgmmError
from streamgmm.sinks import greeting
from streamgmm.sinks.mqtt.link import CHILD_COMMAND, Link
from streamgmm.sinks.mqtt.protocol import Greeting, Request
from streamgmm.sinks.push import PushOptions, PushSink
from streamgmm.sinks.sink import Message, OnFailure

logger = logging.getLogger("streamgmm.sinks")

GREETING_S = 60.0
"""Interval at which level and health are published, and all states are compared (s)."""


class MqttSink(PushSink):
    """Hand records one at a time to a child process, which holds the connection to the broker.

    While there is no connection, records wait in the queue. After it is back, the child first gets the current state
    (see `streamgmm.sinks.greeting`), so that no retained topic repeats what is over, and then the records that waited.

    Args:
        uri: URI of the sink as configured.
        request: task of the child.
        command: program that implements the protocol of `streamgmm.sinks.mqtt.protocol`.
        options: see `PushOptions`; the format is jsonl.
    """

    def __init__(
        self, uri: str, request: Request, command: Sequence[str] = CHILD_COMMAND, **options: Unpack[PushOptions]
    ) -> None:
        super().__init__(uri, **options)
        self._link = Link(uri, request, self._changed, self._take_pulse, command)
        self._greeting = greeting.Greeting()
        self._last_seq = -1
        self._n_greeted = 0
        self._n_dropped_before = 0
        self._greeted_s = 0.0
        self._is_greeting_old = False

    @property
    def child_pid(self) -> int | None:
        """Process id of the child; None if none runs."""
        return self._link.pid

    def open(self, on_failure: OnFailure) -> None:
        """Start the child and the threads; does not wait for the broker.

        Raises:
            SystemResourceError: the system refused a thread.
        """
        super().open(on_failure)
        try:
            self._link.open()
        except StreamgmmError:
            self.close(0.0)
            raise

    def note(self, message: Message) -> None:
        """Follow the state that a new connection is greeted with."""
        self._greeting.update(message)
        self._last_seq = message.record.seq

    @property
    def is_errand_due(self) -> bool:
        """Return whether the child is to be greeted."""
        return self._link.is_online and (
            self._is_greeting_old
            or self._n_greeted != self._link.n_online
            # Among the lost records may have been the end of an event.
            or self._n_dropped_before != self._queue.n_dropped
        )

    def deliver(self, undelivered: bytearray) -> None:
        """Hand a line to the child as soon as it is connected, and before that the current state if it is due."""
        while not self._is_over():
            with self._changed:
                self._changed.wait_for(lambda: self._link.is_online or self._is_over())
                is_errand_due = self.is_errand_due
            if is_errand_due:
                self._greet()
            elif not undelivered:
                return
            elif self._link.is_online and (was_delivered := self._link.send(bytes(undelivered))) is not False:
                if was_delivered is None and not self._link.is_closed:
                    logger.warning("sink.in_doubt sink=%s: a record may be lost, and is not sent twice", self.name)
                undelivered.clear()
                return

    def may_heal(self, error: OSError | StreamgmmError) -> bool:
        """Return True: the link is repaired whatever happens."""
        return True

    def failure_of(self, error: OSError) -> StreamgmmError:
        """Return an error that names the sink."""
        return OutputError(f"cannot publish: {error.strerror}", where=self.name)

    def release(self) -> None:
        """Let the child say farewell, and end it."""
        self._link.finish()

    def abandon(self) -> None:
        """Kill the child, whatever it is doing."""
        self._link.close()
        if self._thread is not None:
            self._thread.join(0.1)

    def _is_over(self) -> bool:
        return self._link.is_closed or (self._is_closing and not self._link.is_online)

    def _greet(self) -> None:
        # Outside of the lock: the statuses come from the daemon, which may hold locks of its own.
        statuses = self._selection.current_statuses(self.snapshot)
        with self._changed:
            lines = self._greeting.to_bytes(statuses)
            seq, n_online, n_dropped = self._last_seq, self._link.n_online, self._queue.n_dropped
        head = msgspec.json.encode(Greeting(lines.count(b"\n"), seq)) + b"\n"
        if self._link.send(head + lines):
            with self._changed:
                self._n_greeted, self._n_dropped_before = n_online, n_dropped
                self._is_greeting_old = False
                self._greeted_s = time.monotonic()

    def _take_pulse(self) -> None:
        with self._changed:
            if not self._is_greeting_old and time.monotonic() - self._greeted_s > GREETING_S:
                self._is_greeting_old = True
                self._changed.notify_all()
