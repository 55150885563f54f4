"""Signals that must not end a daemon, and those that have to wait for a C library.

The former are ignored before other imports, so this module imports little.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# By name, because no system has all of them.
_UNUSED = ("SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGSTKFLT", "SIGEMT")
_USED_LATER = ("SIGHUP", "SIGUSR1", "SIGUSR2")
_ENDING = (signal.SIGINT, signal.SIGTERM)

_was_hangup_ignored: bool | None = None


def unused_signals() -> list[int]:
    """Return the signals of this system that end a process by default, and that the daemon does not use."""
    # The defaults give an empty range on a system without real-time signals.
    first, last = getattr(signal, "SIGRTMIN", 1), getattr(signal, "SIGRTMAX", 0)
    return [*_present(_UNUSED), *range(first, last + 1)]


def was_hangup_ignored() -> bool:
    """Return whether SIGHUP was ignored when this process started, as with `nohup`."""
    return bool(_was_hangup_ignored)


def wait_for_children() -> None:
    """Let ended child processes wait for `waitid` or `waitpid`, also if SIGCHLD was ignored at the start.

    An ignored SIGCHLD is inherited over `exec`, e.g. from a supervisor, and discards the exit codes of children. Call
    this from the main thread.
    """
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def ignore_unused_signals() -> None:
    """Ignore signals that have no meaning, or none until the daemon runs, and let SIGTERM exit with code 0.

    For the start of a program, before there is anything to clean up. Call this from the main thread.
    """
    global _was_hangup_ignored
    # Only at the first call: the loop below ignores SIGHUP itself.
    if _was_hangup_ignored is None and hasattr(signal, "SIGHUP"):
        _was_hangup_ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    for number in [*_present(_USED_LATER), *unused_signals()]:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_at_once)


@contextmanager
def signals_blocked_for_children() -> Iterator[None]:
    """Keep these signals from processes that are started in the context, e.g. signals sent to the whole group.

    The signals are blocked in the current thread. A child inherits this mask over `exec`, but not handlers.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [*_present(_USED_LATER), *unused_signals()])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def handlers_deferred() -> Iterator[None]:
    """Run Python's handlers of SIGINT and SIGTERM after the context instead of within it; for the main thread.

    Within a function that a C library calls back, an exception of a handler, such as `KeyboardInterrupt`, could not
    pass: it would be printed and lost, and the library would take the call for failed.
    """
    # Handlers run in the main thread alone.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    handlers = {number: handler for number in _ENDING if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for arrival in arrived:
            signal.raise_signal(arrival)


def _present(names: tuple[str, ...]) -> list[int]:
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _end_at_once(number: int, frame: FrameType | None) -> None:
    # An exception would have to pass through half-finished imports, and there is nothing to clean up yet.
    os._exit(0)
