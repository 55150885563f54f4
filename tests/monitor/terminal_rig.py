"""A terminal in which `streamgmm monitor` runs, with its screen as a person sees it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from typing import Any

import pyte

from tests.cli.cli_rig import command_of

TIMEOUT_S = 30.0
LEFT_SCREEN = b"\x1b[?1049l"
SHOWN_CURSOR = b"\x1b[?25h"


class Terminal:
    """A pseudo-terminal of a size, which runs `streamgmm monitor`.

    Args:
        arguments: of the command.
        columns: width.
        lines: height.
        has_pipe: whether stdin is a pipe in place of the terminal.
        changes: of the environment.

    Attributes:
        received: all bytes that the terminal got.
    """

    def __init__(
        self, *arguments: object, columns: int = 80, lines: int = 24, has_pipe: bool = False, **changes: str
    ) -> None:
        self._fd, self._slave = pty.openpty()
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.received = b""
        self.resize(columns, lines)
        self.modes_before = termios.tcgetattr(self._slave)
        # `rich` would take the size from COLUMNS in place of the terminal's.
        env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
        env |= {"TERM": "xterm-256color", "PYTHONUTF8": "1", **changes}
        self.process = subprocess.Popen(
            command_of("monitor", *arguments),
            stdin=subprocess.PIPE if has_pipe else self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=env,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(1, termios.TIOCSCTTY, 0),
        )

    @property
    def text(self) -> str:
        """The screen, line by line."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    @property
    def modes(self) -> list[Any]:
        return termios.tcgetattr(self._slave)

    def resize(self, columns: int, lines: int) -> None:
        self._screen.resize(lines, columns)
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def wait_for(self, *words: str) -> str:
        """Wait until the screen shows all words at once; returns the screen."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not all(word in self.text for word in words):
            assert time.monotonic() < deadline_s, f"{words} not on the screen:\n{self.text}"
            self._receive(0.1)
        return self.text

    def wait(self) -> int:
        """Wait for the end; returns the exit code."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline_s, self.text
            self._receive(0.05)
        self._receive(0.1)
        return self.process.returncode

    def check_left(self) -> None:
        """The terminal is as it was before."""
        assert self.received.rindex(LEFT_SCREEN) > self.received.rindex(b"\x1b[?1049h")
        assert SHOWN_CURSOR in self.received
        assert self.modes == self.modes_before
        assert b"Traceback" not in self.received

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        os.close(self._slave)
        os.close(self._fd)

    def _receive(self, wait_s: float) -> None:
        while select.select([self._fd], [], [], wait_s)[0]:
            received = os.read(self._fd, 65536)
            self.received += received
            self._stream.feed(received)
            wait_s = 0.0


@contextlib.contextmanager
def watching(*arguments: object, **settings: Any) -> Iterator[Terminal]:
    with contextlib.closing(Terminal(*arguments, **settings)) as terminal:
        yield terminal
