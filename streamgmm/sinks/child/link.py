"""The daemon's side of the child of a sink: keep one running, and hand it what is to be delivered."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from streamgmm.audio.child import Child
from streamgmm.errors import StreamgmmError
from streamgmm.sinks.child.protocol import Failure
from streamgmm.sinks.child.task import Task
from streamgmm.sinks.sink import start_thread

logger = logging.getLogger("streamgmm.sinks")

START_TIMEOUT_S = 10.0
"""Longest time from the start of a child to its first sign of life (s)."""

STALL_TIMEOUT_S = 1.2
"""Longest time between later signs (s); a child that shows none is killed, and replaced within two seconds."""

FIRST_RESTART_S, LAST_RESTART_S = 0.1, 10.0
"""Shortest and longest time before another child is started (s); they double while children end at once."""

SHORT_LIFE_S = 1.0
"""Life of a child (s) below which it has ended at once."""

FAREWELL_S = 0.5
"""Longest time that the child may take for its last messages (s)."""


class Link:
    """A child that is replaced whenever it ends or hangs.

    Args:
        name: URI of the sink, for messages.
        task: kind of the child, and what it is to do.
        changed: condition that guards all attributes, and is notified of their changes.
        on_life: called at every sign of life, without `changed`.
        on_command: called with each command that the child was sent, without `changed`.

    Attributes:
        is_online: whether the other side is there.
        n_online: number of times so far that it was there again.
        was_refused: whether the other side did not accept what was sent last.
        is_closed: whether `close` was called.
    """

    def __init__(
        self,
        name: str,
        task: Task,
        changed: threading.Condition,
        on_life: Callable[[], None],
        on_command: Callable[[str], None],
    ) -> None:
        self._name, self._task = name, task
        self._changed, self._on_life, self._on_command = changed, on_life, on_command
        self._child: Child | None = None
        self._n_started = 0
        self._was_sent = self._is_done = False
        self._explained = ""
        self._refusals: set[str] = set()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self.is_online = False
        self.n_online = 0
        self.was_refused = False
        self.is_closed = False

    @property
    def pid(self) -> int | None:
        """Return the process id of the child; None if none runs."""
        return self._child.pid if self._child else None

    def open(self) -> None:
        """Start the first child, and the thread that attends it.

        Raises:
            SystemResourceError: the system refused a thread.
        """
        self._thread = start_thread(self._run, f"{self._name} process")

    def send(self, content: bytes) -> bool | None:
        """Hand lines to the child, and wait until the other side has them.

        Returns:
            True if the other side has them; None if the child ended while they were on their way, so that they may have
            arrived or not; False if the child ended before that, or the link was closed.
        """
        with self._changed:
            child, generation = self._child, self._n_started
            self._was_sent = self._is_done = self.was_refused = False
        if child is None:
            return False
        with suppress(OSError):  # ended; the thread that attends it will notice
            child.write(content)
        with self._changed:
            self._changed.wait_for(lambda: self._is_done or self.is_closed or self._n_started != generation)
            if self._is_done:
                return True
            return None if self._was_sent else False

    def finish(self) -> None:
        """Let the child publish its last messages, for at most `FAREWELL_S`, and end it."""
        child = self._child
        if child is not None:
            # From now on its end is no failure.
            with self._changed:
                self.is_closed = True
            child.end_input()
            self._ended.wait(FAREWELL_S)
        self.close()

    def close(self) -> None:
        """Kill the child, and start no other."""
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()
        self._ended.set()
        if (child := self._child) is not None:
            child.close()
        if self._thread is not None:
            self._thread.join(FAREWELL_S)

    def _run(self) -> None:
        delay_s = FIRST_RESTART_S
        while not self.is_closed:
            started_s = time.monotonic()
            reason = self._attend()
            if time.monotonic() - started_s > SHORT_LIFE_S:
                delay_s = FIRST_RESTART_S
            with self._changed:
                if self.is_closed:
                    break
                self.is_online, self._child = False, None
                self._n_started += 1
                self._changed.notify_all()
            logger.warning(
                "sink.restarting sink=%s reason=the %s process ended: %s", self._name, self._task.kind, reason
            )
            self._ended.wait(delay_s)
            delay_s = min(2.0 * delay_s, LAST_RESTART_S)
        self._ended.set()

    def _attend(self) -> str:
        """Start a child and follow its reports; return why it ended."""
        try:
            child = Child(self._task.command, fds=self._task.fds)
        except StreamgmmError as error:
            return str(error)
        try:
            with self._changed:
                if self.is_closed:
                    return ""
                self._child = child
            child.write(msgspec.json.encode(self._task.request) + b"\n")
            timeout_s = START_TIMEOUT_S
            while (line := child.read_line(timeout_s)) is not None:
                self._take_report(line.decode("utf-8", "replace").rstrip("\n"))
                timeout_s = STALL_TIMEOUT_S
            return ""
        except TimeoutError:
            return f"no sign of life for {timeout_s:g} s"
        except (EOFError, OSError):
            return child.describe_end()
        except msgspec.DecodeError:
            return "it speaks another protocol"
        finally:
            child.close()

    def _take_report(self, line: str) -> None:
        word, _, details = line.partition(" ")
        match word:
            case "alive":
                self._on_life()
            case "command":
                self._on_command(msgspec.json.decode(details, type=str))
            case "online":
                self._explained = ""
                self._refusals.clear()
                self._note(is_online=True)
                logger.info("sink.connected sink=%s", self._name)
            case "offline":
                self._explain(msgspec.json.decode(details, type=Failure))
                self._note(is_online=False)
            case "refusal":
                self._log_refusal(msgspec.json.decode(details, type=Failure))
            case "sent" | "done" | "refused":
                with self._changed:
                    self._was_sent = True
                    self._is_done = word != "sent"
                    self.was_refused = word == "refused"
                    self._changed.notify_all()

    def _note(self, *, is_online: bool) -> None:
        with self._changed:
            self.is_online = is_online
            self.n_online += is_online
            self._changed.notify_all()

    def _log_refusal(self, refusal: Failure) -> None:
        # Once for each kind and connection: a broker may refuse every message.
        if refusal.error not in self._refusals:
            reason = StreamgmmError(refusal.error, hint=refusal.hint)
            logger.error("sink.refused sink=%s reason=%s", self._name, reason)
        self._refusals.add(refusal.error)

    def _explain(self, failure: Failure) -> None:
        # Once for each reason, not at each attempt.
        if failure.error != self._explained:
            error = StreamgmmError(failure.error, hint=failure.hint)
            how = "once a minute" if failure.is_slow else "until it works"
            logger.error("sink.offline sink=%s reason=%s; trying again %s", self._name, error, how)
        self._explained = failure.error
