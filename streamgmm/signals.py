"""Signals that must not end a daemon: set aside before anything else is imported, so this module imports little."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_WITHOUT_MEANING = ("SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGSTKFLT", "SIGEMT")
_WITH_MEANING_LATER = ("SIGHUP", "SIGUSR1", "SIGUSR2")

_was_hangup_ignored: bool | None = None


def unused_signals() -> list[int]:
    """Return the signals of this system that end a process by default and that no daemon has a use for."""
    first, last = getattr(signal, "SIGRTMIN", 1), getattr(signal, "SIGRTMAX", 0)
    return [*_present(_WITHOUT_MEANING), *range(first, last + 1)]


def was_hangup_ignored() -> bool:
    """Return whether whoever started this process had SIGHUP ignored, as `nohup` does."""
    return bool(_was_hangup_ignored)


def ignore_unused_signals() -> None:
    """Ignore what means nothing, or nothing yet, and let SIGTERM end the process in order; for a program that starts.

    Nothing has been begun that would have to be cleared away. To be called from the main thread.
    """
    global _was_hangup_ignored
    if _was_hangup_ignored is None and hasattr(signal, "SIGHUP"):
        _was_hangup_ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    for number in [*_present(_WITH_MEANING_LATER), *unused_signals()]:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_at_once)


@contextmanager
def signals_blocked_for_children() -> Iterator[None]:
    """Within it, a process that is started never gets these signals, e.g. one that is sent to the whole group.

    They are blocked in the thread that starts it, which its child inherits over `exec`; a handler would not be.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [*_present(_WITH_MEANING_LATER), *unused_signals()])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _present(names: tuple[str, ...]) -> list[int]:
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _end_at_once(number: int, frame: FrameType | None) -> None:
    os._exit(0)
