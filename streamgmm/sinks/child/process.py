"""What every child process of a sink does, whatever it serves; imported by children only."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import cache
from typing import NoReturn, TypeVar

import msgspec

ALIVE_S = 0.3
"""Interval of the signs of life (s)."""

R = TypeVar("R", bound=msgspec.Struct)


_claiming = threading.Lock()


def _reports_fd() -> int:
    """Return the way to the daemon; whatever a library prints to stdout goes to stderr from the first call on."""
    # A cache alone lets two threads claim it at once, and the later one would take stderr for the way.
    with _claiming:
        return _claim_stdout()


@cache
def _claim_stdout() -> int:
    fd = os.dup(1)
    os.dup2(2, 1)
    return fd


def report(line: str) -> None:
    """Write a line to the daemon, in one piece."""
    os.write(_reports_fd(), line.encode("utf-8", "backslashreplace") + b"\n")


def read_stdin() -> bytes:
    """Return what has arrived on stdin, once something has; empty at its end."""
    return os.read(0, 65536)


def read_request(request_type: type[R]) -> R:
    """Return the request in the first line of stdin.

    Raises:
        EOFError: stdin has ended.
    """
    _reports_fd()  # before any library is imported for the task
    line = b""
    while not line.endswith(b"\n"):
        # Byte by byte: what follows belongs to whoever takes the records.
        if not (byte := os.read(0, 1)):
            raise EOFError
        line += byte
    return msgspec.json.decode(line, type=request_type)


def run_to_end(serve: Callable[[], None]) -> NoReturn:
    """Call `serve`; exit with 0 after it has returned or the daemon has ended, else with 1."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole process group; the daemon handles it
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as does systemd's SIGTERM
    try:
        serve()
    except (EOFError, BrokenPipeError):
        pass
    except Exception as error:
        # No traceback: the daemon quotes the last line of stderr.
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    # Not sys.exit: nothing is left to finish, and a library might block.
    os._exit(0)
