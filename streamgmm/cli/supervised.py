"""Context of a run: keep-alive messages to the service manager, and reloads on SIGHUP."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from streamgmm.cli.terminal import Terminal
from streamgmm.service.daemon import Daemon
from streamgmm.service.reload import Loaded, Reloader, ReloadListener
from streamgmm.service.supervision import Supervision
from streamgmm.signals import was_hangup_ignored
from streamgmm.sinks.sink import start_thread

END_S = 0.2
"""Longest wait of a stop for a reload in progress (s): resources that its thread still holds when the interpreter exits
are never released."""


@contextlib.contextmanager
def supervised(
    daemon: Daemon, supervision: Supervision, load: Callable[[], Loaded], started_with: Loaded, terminal: Terminal
) -> Iterator[None]:
    """Send keep-alive messages to the service manager while `daemon` makes progress, and reload on SIGHUP.

    A SIGHUP because the terminal was closed ends the run instead.

    Args:
        daemon: daemon that is about to run.
        supervision: reports to the service manager.
        load: reads settings and models as at the start.
        started_with: settings and models that the daemon was started with.
        terminal: terminal on which the program was started.
    """
    if supervision.is_watched:
        # systemd ends a hanging service by SIGABRT; the journal then shows the traceback of each thread.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            # Raises where stderr has no descriptor; the run continues without tracebacks.
            faulthandler.enable()
    with supervision.watching(daemon.watch.is_alive), _reloading(daemon, supervision, load, started_with, terminal):
        yield


@contextlib.contextmanager
def _reloading(
    daemon: Daemon, supervision: Supervision, load: Callable[[], Loaded], started_with: Loaded, terminal: Terminal
) -> Iterator[None]:
    def end_with_terminal() -> bool:
        # Started by `nohup`, the program must continue without its terminal.
        is_over = terminal.is_closed() and not was_hangup_ignored()
        if is_over:
            daemon.stop("its terminal was closed")
        return is_over

    def load_unless_over() -> Loaded:
        # A shell may send SIGHUP a moment before it closes the terminal: check again when the reload starts.
        end_with_terminal()
        return load()

    def on_hangup(number: int, frame: FrameType | None) -> None:
        if not end_with_terminal():
            reloader.request()

    listener = ReloadListener(supervision.reloading, daemon.reopen_outputs, supervision.on_reload)
    reloader = Reloader(load_unless_over, daemon.adopt, started_with, listener)
    thread = start_thread(reloader.run, "reload")
    try:
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, on_hangup)
        end_with_terminal()  # it may have been closed before the handler was installed
        yield
    finally:
        if hasattr(signal, "SIGHUP"):
            # Not the default action, by which a late SIGHUP would kill the process during its shutdown.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        reloader.end()
        thread.join(END_S)
