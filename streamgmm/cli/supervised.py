"""Around a run: what the service manager sees of it, and SIGHUP."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from streamgmm.cli.terminal import Terminal
from streamgmm.service.daemon import Daemon
from streamgmm.service.reload import Loaded, Reloader
from streamgmm.service.supervision import Supervision
from streamgmm.signals import was_hangup_ignored
from streamgmm.sinks.sink import start_thread

END_S = 0.2
"""How long a stop waits at most for a reload that goes on: what its thread still holds when the interpreter ends is
never released."""


@contextlib.contextmanager
def supervised(
    daemon: Daemon, supervision: Supervision, load: Callable[[], Loaded], started_with: Loaded, terminal: Terminal
) -> Iterator[None]:
    """Show the service manager, if there is one, that `daemon` moves, and reload on SIGHUP.

    SIGHUP that tells of the end of the terminal ends the run instead.

    Args:
        daemon: about to run.
        supervision: speaks to the manager.
        load: reads settings and model as the start did.
        started_with: what `load` gave then.
        terminal: on which the program was started.
    """
    if supervision.is_watched:
        # The manager ends by SIGABRT what hangs; the journal then shows where each thread was.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            faulthandler.enable()
    with supervision.watching(daemon.watch.is_alive), _reloading(daemon, supervision, load, started_with, terminal):
        yield


@contextlib.contextmanager
def _reloading(
    daemon: Daemon, supervision: Supervision, load: Callable[[], Loaded], started_with: Loaded, terminal: Terminal
) -> Iterator[None]:
    def end_with_terminal() -> bool:
        # `nohup` is how a user says that it has to go on.
        is_over = terminal.is_closed() and not was_hangup_ignored()
        if is_over:
            daemon.stop("its terminal was closed")
        return is_over

    def load_unless_over() -> Loaded:
        # A shell may send SIGHUP a moment before it closes the terminal.
        end_with_terminal()
        return load()

    def on_hangup(number: int, frame: FrameType | None) -> None:
        if not end_with_terminal():
            reloader.request()

    reloader = Reloader(
        load_unless_over,
        daemon.adopt,
        started_with,
        announce=supervision.reloading,
        reopen=daemon.reopen_outputs,
        on_outcome=supervision.on_reload,
    )
    thread = start_thread(reloader.run, "reload")
    try:
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, on_hangup)
        end_with_terminal()  # it may be gone since the program was started
        yield
    finally:
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        reloader.end()
        thread.join(END_S)
