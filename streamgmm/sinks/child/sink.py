"""Deliver through a child process: whatever happens there, the daemon goes on."""

from __future__ import annotations

import logging
import time
from typing import Unpack

import msgspec

from streamgmm.errors import OutputError, StreamgmmError
from streamgmm.sinks import greeting
from streamgmm.sinks.child.link import Link
from streamgmm.sinks.child.protocol import Greeting
from streamgmm.sinks.child.task import Task
from streamgmm.sinks.control import Reply, obey_text
from streamgmm.sinks.push import REMOTE_PATIENCE_S, PushOptions, PushSink
from streamgmm.sinks.sink import Message, OnFailure
from streamgmm.wording import escaped

logger = logging.getLogger("streamgmm.sinks")


class ChildSink(PushSink):
    """Hand records one at a time to a child process, which delivers them.

    While the other side is not there, records wait in the queue. After it is back, the child first gets the current
    state (see `streamgmm.sinks.greeting`), so that nobody is told what is over as news, and then the records that
    waited.

    Args:
        uri: URI of the sink as configured.
        task: kind of the child, and what it is to do.
        options: see `PushOptions`; the format is jsonl.
    """

    patience_s = REMOTE_PATIENCE_S

    def __init__(self, uri: str, task: Task, **options: Unpack[PushOptions]) -> None:
        super().__init__(uri, **options)
        self._link = Link(uri, task, self._changed, self._take_pulse, self._take_command)
        self._task = task
        self._greeting = greeting.Greeting()
        self._n_greeted = 0
        self._n_dropped_before = 0
        self._greeted_s = 0.0
        self._is_greeting_old = False

    @property
    def child_pid(self) -> int | None:
        """Process id of the child; None if none runs."""
        return self._link.pid

    def open(self, on_failure: OnFailure) -> None:
        """Start the child and the threads; does not wait for the other side.

        Raises:
            SystemResourceError: the system refused a thread.
        """
        super().open(on_failure)
        try:
            self._link.open()
        except StreamgmmError:
            self.close(0.0)
            raise

    def claim(self) -> None:
        """Claim what all children need."""
        self._task.claim()

    def note(self, message: Message) -> None:
        """Follow the state that a new connection is greeted with."""
        self._greeting.update(message)

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
                self.n_failed += self._link.was_refused
                undelivered.clear()
                return

    def may_heal(self, error: OSError | StreamgmmError) -> bool:
        """Return True: the link is repaired whatever happens."""
        return True

    def failure_of(self, error: OSError) -> StreamgmmError:
        """Return an error that names the sink."""
        return OutputError(f"cannot deliver: {error.strerror}", where=self.name)

    def release(self) -> None:
        """Let the child say farewell, and end it."""
        self._link.finish()
        self._task.release()

    def abandon(self) -> None:
        """Kill the child, whatever it is doing."""
        self._link.close()
        if self._thread is not None:
            self._thread.join(0.1)

    def _is_over(self) -> bool:
        return self._link.is_closed or (self._is_closing and not self._link.is_online)

    def _greet(self) -> None:
        # Outside of the lock: the statuses come from the daemon, which may hold locks of its own.
        after_seq, statuses = self._greeting.last_seq, self._selection.current_statuses(self.snapshot)
        with self._changed:
            lines = self._greeting.to_bytes(statuses, after_seq=after_seq)
            seq, n_online, n_dropped = self._greeting.last_seq, self._link.n_online, self._queue.n_dropped
        head = msgspec.json.encode(Greeting(lines.count(b"\n"), seq)) + b"\n"
        if self._link.send(head + lines):
            with self._changed:
                self._n_greeted, self._n_dropped_before = n_online, n_dropped
                self._is_greeting_old = False
                self._greeted_s = time.monotonic()

    def _take_command(self, text: str) -> None:
        # Checked here too: a child that was taken over by a hostile broker must not silence the daemon.
        reply = obey_text(text, self.obey, self.name) if self._task.takes_commands else Reply("commands are off")
        if reply.refused:
            logger.warning("control.refused sink=%s reason=%s", self.name, escaped(reply.refused))

    def _take_pulse(self) -> None:
        with self._changed:
            if not self._is_greeting_old and time.monotonic() - self._greeted_s > self._task.greeting_s:
                self._is_greeting_old = True
                self._changed.notify_all()
