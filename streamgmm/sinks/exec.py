"""Run a command for each record: `exec:COMMAND`, with the record in its environment and on its stdin."""

from __future__ import annotations

import logging
import shlex
import shutil
import threading
from typing import Unpack

import msgspec

from streamgmm.errors import ConfigError, OutputError, StreamgmmError
from streamgmm.sinks.processes import GRACE_S, environment_of, run_program
from streamgmm.sinks.push import PushOptions, PushSink
from streamgmm.sinks.sink import start_thread

logger = logging.getLogger("streamgmm.sinks")

MAX_RUNNING = 4
"""Most commands that run at once."""

COMMAND_TIMEOUT_S = 10.0
"""Time after which a running command is ended (s)."""


class ExecSink(PushSink):
    """Run a command for each record, without a shell.

    A command that fails is only logged. While `max_running` commands run, records wait in the queue. Processes that
    a command leaves in its process group are killed when the command ends.

    Args:
        uri: `exec:COMMAND`, split into arguments as by a shell.
        max_running: most commands that run at once.
        timeout_s: time after which a running command is ended (s).
        options: see `PushOptions`; the format is jsonl.

    Raises:
        ConfigError: the command cannot be split, or there is no such program.
    """

    def __init__(
        self,
        uri: str,
        *,
        max_running: int = MAX_RUNNING,
        timeout_s: float = COMMAND_TIMEOUT_S,
        **options: Unpack[PushOptions],
    ) -> None:
        super().__init__(uri, **options)
        self._arguments = _split_command(uri)
        self._max_running, self._timeout_s = max_running, timeout_s
        self._running: set[threading.Thread] = set()
        self._is_abandoned = False

    @property
    def is_busy(self) -> bool:
        """Return whether a command runs."""
        return bool(self._running)

    def deliver(self, undelivered: bytearray) -> None:
        """Start the command for one line, as soon as fewer than `max_running` commands run."""
        line = bytes(undelivered)
        with self._changed:
            self._changed.wait_for(lambda: self._is_abandoned or len(self._running) < self._max_running)
            # An empty line stands for a loss that is not reported (see `PushSink`); there is nothing to run.
            if line and not self._is_abandoned:
                # The new thread needs the same lock to remove itself from the set, so it is added first.
                self._running.add(start_thread(lambda: self._attend(line), self.name))
                undelivered.clear()

    def may_heal(self, error: OSError | StreamgmmError) -> bool:
        """Return True: retry when the system refuses a thread."""
        return True

    def failure_of(self, error: OSError) -> StreamgmmError:
        """Return an error that names the command."""
        return OutputError(f"cannot run: {error.strerror}", where=self.name)

    def release(self) -> None:
        """Wait until no command runs."""
        with self._changed:
            # The thread of the sink ends after the last command, so `close` waits for the commands by joining it.
            self._changed.wait_for(lambda: not self._running)

    def abandon(self) -> None:
        """End the commands that still run."""
        with self._changed:
            self._is_abandoned = True
            self._changed.notify_all()
        if self._thread is not None:
            # A command has `GRACE_S` from SIGTERM to SIGKILL; the rest is for reaping it.
            self._thread.join(2 * GRACE_S)

    def _attend(self, line: bytes) -> None:
        # From the line, so that variables and standard input give the same values.
        environment = environment_of(msgspec.json.decode(line))
        reason = "not run"
        try:
            reason = run_program(self._arguments, environment, line, self._timeout_s, lambda: self._is_abandoned)
            if reason:
                logger.warning("exec.failed sink=%s reason=%s", self.name, reason)
        except Exception:
            # The next command may work: this one is counted as failed, and the sink continues.
            logger.exception("exec.failed unexpectedly sink=%s", self.name)
        finally:
            with self._changed:
                self.n_failed += bool(reason)
                self._running.discard(threading.current_thread())
                self._changed.notify_all()


def _split_command(uri: str) -> list[str]:
    try:
        arguments = shlex.split(uri.removeprefix("exec:"))
    except ValueError as error:
        raise ConfigError([f"output.sinks: {uri!r}: {str(error).lower()}"]) from error
    if not arguments or not uri.isprintable():
        raise ConfigError([f"output.sinks: {uri!r} is not of the form exec:COMMAND"])
    # Checked at the start, where a typing error is noticed, and not at the first event.
    if shutil.which(arguments[0]) is None:
        raise ConfigError([f"output.sinks: {uri!r}: there is no program {arguments[0]!r} that can be run"])
    return arguments
