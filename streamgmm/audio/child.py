"""Child process whose output is read with timeouts and which can be killed at any time."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from streamgmm.errors import SystemResourceError
from streamgmm.signals import signals_blocked_for_children

STDERR_TAIL_BYTES = 64 * 1024
MAX_OUTPUT_LINE_BYTES = 1024 * 1024
PIPE_BYTES = 1024 * 1024  # 16 s of mono float32 at 16 kHz, to absorb bursts and pauses
READ_BYTES = 64 * 1024
# Characters of the last line on stderr that an error quotes.
MAX_WORDS = 200
KILL_TIMEOUT_S = 0.05
# Lateness of a timeout from which on this process itself must have been suspended.
LATE_S = 0.5
EXIT_TIMEOUT_S = 1.0


class Child:
    """Run `command`; one thread reads its output, and any thread may close it.

    Stdin of the command is a pipe, which ends when this process ends, for whatever reason. Stderr is drained while
    reading, and its tail is kept. POSIX only, because `select` waits on pipes.

    Args:
        command: program and arguments; any user of the machine can see them.
        stdin: content for the stdin of the command, which then ends; must fit into a pipe. None keeps stdin open.
        redact: removes secrets from a line of stderr before it is shown; lines that become empty are skipped.
        fds: descriptors that the command inherits under their numbers.

    Raises:
        SystemResourceError: the process cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdin: bytes | None = None,
        redact: Callable[[str], str] = str,
        fds: Sequence[int] = (),
    ) -> None:
        self._redact = redact
        self._received = bytearray()
        self._stderr_tail = bytearray()
        # Lock order: `_closing`, then `_reading`, then `_writing`. A reader never closes while it holds `_reading`.
        self._reading = threading.Lock()
        self._closing = threading.Lock()
        self._writing = threading.Lock()
        self._is_closed = False
        try:
            self._start(command, fds)
            if stdin is not None:
                self._write_stdin(stdin)
        except OSError as error:
            raise SystemResourceError(f"cannot start a process: {error.strerror}", where=command[0]) from error

    def _start(self, command: Sequence[str], fds: Sequence[int]) -> None:
        with contextlib.ExitStack() as resources:
            self._selector = resources.enter_context(selectors.DefaultSelector())
            wake, self._waker = (resources.enter_context(end) for end in socket.socketpair())
            with signals_blocked_for_children():
                # Unbuffered, else the content for stdin would be written only by its `close`, outside `suppress`.
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    pass_fds=fds,
                )
            stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
            if stdin is None or stdout is None or stderr is None:  # cannot happen with PIPE; for the type checker
                raise OSError("no pipes")
            for pipe in (stdin, stdout, stderr):
                resources.enter_context(pipe)
            _enlarge_pipe(stdout.fileno())
            self._stdout_fd, self._stderr_fd = stdout.fileno(), stderr.fileno()
            self._selector.register(wake, selectors.EVENT_READ)
            self._selector.register(stdout, selectors.EVENT_READ, self._take_output)
            self._selector.register(stderr, selectors.EVENT_READ, self._take_stderr)
            # Started completely: from here on only `close` releases these.
            self._resources = resources.pop_all()

    def _write_stdin(self, content: bytes) -> None:
        pipe = self._process.stdin
        assert pipe is not None, "a pipe was asked for"
        # The command may have ended already; the first read reports how.
        with contextlib.suppress(BrokenPipeError):
            pipe.write(content)
        pipe.close()

    @property
    def pid(self) -> int:
        """Return the process id of the child."""
        return self._process.pid

    @property
    def stderr_tail(self) -> bytes:
        """Return the last `STDERR_TAIL_BYTES` that the child wrote to stderr, or fewer."""
        return bytes(self._stderr_tail)

    def write(self, content: bytes) -> None:
        """Write to stdin; may be called from any thread, and waits while the pipe is full.

        Raises:
            OSError: the child has ended, or was closed.
        """
        with self._writing:
            if self._is_closed or self._process.stdin is None:
                raise BrokenPipeError
            unwritten = memoryview(content)
            while unwritten:
                unwritten = unwritten[self._process.stdin.write(unwritten) or 0 :]

    def end_input(self) -> None:
        """Close stdin, by which the child is to end of its own accord."""
        with self._writing:
            if self._process.stdin is not None:
                self._process.stdin.close()

    def read_line(self, timeout_s: float) -> bytes | None:
        """Return the next line with its newline; None once closed.

        Raises:
            TimeoutError: no output for `timeout_s` and the line is not complete.
            EOFError: the child ended before the line was complete, or the line is longer than `MAX_OUTPUT_LINE_BYTES`.
        """
        return self._read(lambda: self._received.find(b"\n") + 1, MAX_OUTPUT_LINE_BYTES, timeout_s)

    def read_exactly(self, n_bytes: int, timeout_s: float) -> bytes | None:
        """Return the next `n_bytes` bytes, over as many writes of the child as it takes; None once closed.

        Raises:
            TimeoutError: no output for `timeout_s` and the bytes are not complete.
            EOFError: the child ended before the bytes were complete; the rest is discarded.
        """
        return self._read(lambda: n_bytes if len(self._received) >= n_bytes else 0, n_bytes, timeout_s)

    def read_some(self, max_bytes: int, timeout_s: float) -> bytes | None:
        """Return the next bytes, at least one and at most `max_bytes`; None once closed.

        Raises:
            TimeoutError: no output for `timeout_s`.
            EOFError: the child ended.
        """
        return self._read(lambda: min(len(self._received), max_bytes), max_bytes, timeout_s)

    def describe_end(self) -> str:
        """Wait briefly for the exit of the child and return its reason: signal, last line on stderr, or exit status."""
        exit_code = self.wait_for_exit()
        if exit_code is None:
            return "output closed"
        if exit_code < 0:
            return f"killed by {_signal_name(-exit_code)}"
        return self._last_words() or f"exit status {exit_code}"

    def wait_for_exit(self) -> int | None:
        """Return the exit status of a child whose output has ended, negative for a signal; None if it still runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_TIMEOUT_S)
        return self._process.returncode

    def close(self) -> None:
        """Kill the child and free its resources within 0.1 s; may be called from any thread and more than once."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            # After the flag is set, so that a reader takes the end of the output for `close` and not for a crash.
            self._process.kill()
            # The byte is never read: it also wakes a reader that enters `select` only after this line.
            self._waker.send(b"\0")
            # A driver call can keep a killed process alive for longer; `subprocess` then reaps it later.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_TIMEOUT_S)
            # Wait for the reader, which returns at once: a descriptor that is closed may be reused by another file.
            # A writer that was blocked by the full pipe of the killed process returns as well.
            with self._reading, self._writing:
                self._resources.close()

    def _read(self, n_complete_bytes: Callable[[], int], max_bytes: int, timeout_s: float) -> bytes | None:
        with self._reading:
            while not self._is_closed:
                if n_bytes := n_complete_bytes():
                    taken = bytes(self._received[:n_bytes])
                    del self._received[:n_bytes]
                    return taken
                # More than a complete line may have: a child that never ends its line must not fill the memory.
                if len(self._received) > max_bytes:
                    raise EOFError
                self._wait_for_output(timeout_s)
            return None

    def _wait_for_output(self, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        n_before_bytes = len(self._received)
        while len(self._received) == n_before_bytes and not self._is_closed:
            remaining_s = deadline_s - time.monotonic()
            if remaining_s < -LATE_S:
                # This process is late, not the child: both may have been suspended and just resumed.
                deadline_s, remaining_s = deadline_s - remaining_s + LATE_S, LATE_S
            # Past the deadline, this still polls once: output that is already there is never late.
            for key, _ in self._selector.select(max(0.0, remaining_s)):
                # The socket that wakes the reader has no data: the loop ends by the flag.
                if key.data is not None:
                    key.data()
            if remaining_s <= 0.0 and len(self._received) == n_before_bytes and not self._is_closed:
                raise TimeoutError

    def _take_output(self) -> None:
        received = os.read(self._stdout_fd, READ_BYTES)
        if not received and not self._is_closed:  # `close` ends the output too, but that is no failure
            raise EOFError
        self._received += received

    def _take_stderr(self) -> None:
        received = os.read(self._stderr_fd, READ_BYTES)
        if not received:  # else `select` would report it as readable forever
            self._selector.unregister(self._stderr_fd)
        self._stderr_tail += received
        del self._stderr_tail[:-STDERR_TAIL_BYTES]

    def _last_words(self) -> str:
        with self._reading:
            # The child may have written its reason and closed stdout before the reader saw stderr become readable.
            # Without waiting: a process that the child has started may hold stderr open for ever.
            if not self._is_closed and any(key.fd == self._stderr_fd for key, _ in self._selector.select(0.0)):
                self._take_stderr()
        tail = self.stderr_tail
        if len(tail) == STDERR_TAIL_BYTES:
            # The first line may begin in the middle of a secret, which `redact` would not recognise.
            tail = tail.partition(b"\n")[2]
        lines = tail.decode(errors="replace").split("\n")
        return next((shown[:MAX_WORDS] for line in reversed(lines) if (shown := self._redact(line.strip()))), "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _enlarge_pipe(fd: int) -> None:
    if sys.platform == "linux":
        import fcntl

        # Refused if the user's pipes already exceed the quota; the default of 64 KiB then absorbs shorter pauses.
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
