"""Single keys from a terminal, without echo and without a line to complete."""

from __future__ import annotations

import os
import select
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

QUIT_KEYS = b"qQ"

Wait = Callable[[float], bytes]
"""Waits for at most so many seconds, and returns the keys that were pressed."""

_VDISABLE = b"\0"
"""A control character that is none (termios(3), _POSIX_VDISABLE)."""


@contextmanager
def keyboard() -> Iterator[Wait]:
    """Provide the keys of the terminal, whose modes are restored at the end; without one, none is ever pressed."""
    try:
        # Not stdin, which may be the samples.
        fd = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        yield _wait_only
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        modes = termios.tcgetattr(fd)
        # A process that Ctrl-Z stops would leave its screen, and no cursor, to the shell.
        modes[6][termios.VSUSP] = _VDISABLE
        termios.tcsetattr(fd, termios.TCSANOW, modes)
        yield lambda wait_s: _wait_for_keys(fd, wait_s)
    finally:
        # What was typed meanwhile is not meant for the shell.
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(fd, termios.TCSAFLUSH, before)
        os.close(fd)


def _wait_only(wait_s: float) -> bytes:
    select.select([], [], [], wait_s)
    return b""


def _wait_for_keys(fd: int, wait_s: float) -> bytes:
    if not select.select([fd], [], [], wait_s)[0]:
        return b""
    # Nothing to read, though ready: the terminal is gone, and nobody looks any more.
    return os.read(fd, 1024) or QUIT_KEYS
