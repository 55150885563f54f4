"""Around a run: what the service manager sees of it, and SIGHUP."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
from collections.abc import Callable, Iterator

from streamgmm.service.daemon import Daemon
from streamgmm.service.reload import Loaded, Reloader
from streamgmm.service.supervision import Supervision
from streamgmm.sinks.sink import start_thread

END_S = 0.2
"""How long a stop waits at most for a reload that goes on: what its thread still holds when the interpreter ends is
never released."""


def ignore_hangup() -> None:
    """Let SIGHUP do nothing: while a program starts, what it is about to read is new enough."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


@contextlib.contextmanager
def supervised(
    daemon: Daemon, supervision: Supervision, load: Callable[[], Loaded], started_with: Loaded
) -> Iterator[None]:
    """Show the service manager, if there is one, that `daemon` moves, and reload on SIGHUP.

    Args:
        daemon: about to run.
        supervision: speaks to the manager.
        load: reads settings and model as the start did.
        started_with: what `load` gave then.
    """
    if supervision.is_watched:
        # The manager ends by SIGABRT what hangs; the journal then shows where each thread was.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            faulthandler.enable()
    with supervision.watching(daemon.watch.is_alive), _reloading(daemon, supervision, load, started_with):
        yield


@contextlib.contextmanager
def _reloading(
    daemon: Daemon, supervision: Supervision, load: Callable[[], Loaded], started_with: Loaded
) -> Iterator[None]:
    reloader = Reloader(
        load,
        daemon.adopt,
        started_with,
        announce=supervision.reloading,
        reopen=daemon.reopen_outputs,
        on_outcome=supervision.on_reload,
    )
    thread = start_thread(reloader.run, "reload")
    try:
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda number, frame: reloader.request())
        yield
    finally:
        ignore_hangup()
        reloader.end()
        thread.join(END_S)
