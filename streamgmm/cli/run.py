"""`streamgmm run`: the daemon."""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from streamgmm.cli.plans import load_settings, plan_channels, refuse_idle_options
from streamgmm.cli.supervised import supervised
from streamgmm.cli.terminal import Terminal
from streamgmm.errors import OutputError
from streamgmm.listening.recordings import file_run_id
from streamgmm.service.daemon import Daemon
from streamgmm.service.log_limit import LogLimit
from streamgmm.service.log_writer import detached_log
from streamgmm.service.notify import Notifier
from streamgmm.service.reload import Loaded
from streamgmm.service.supervision import Supervision
from streamgmm.signals import ignore_unused_signals
from streamgmm.sinks.activation import take_inherited
from streamgmm.sinks.hub import Hub, make_sinks
from streamgmm.sinks.selection import warn_of_unknown_labels
from streamgmm.sinks.sink import PipeClosedError

logger = logging.getLogger("streamgmm.run")

REPEAT_S = 0.5
"""A signal so soon after another (s) is the same one: `timeout` sends each to the process and to its group."""


def run_daemon(args: argparse.Namespace) -> int:
    """Listen until the end of all sources, or until stopped."""

    def load_again() -> Loaded:
        # The very file of the start: one that can no longer be seen must not give way to the defaults.
        return plan_channels(load_settings(args, settings.path), says_which=False)

    ignore_unused_signals()
    terminal = Terminal()
    supervision = Supervision(Notifier.from_environment())
    settings = load_settings(args)
    refuse_idle_options(args, settings.config)
    loaded = plan_channels(settings, says_which=True)
    daemon = _make_daemon(loaded, args.require_device, supervision.on_status)
    _end_on_bugs(daemon)
    received = _stop_on_signals(daemon)
    _log_status_on_signal(daemon)
    try:
        with detached_log(LogLimit()), supervised(daemon, supervision, load_again, loaded, terminal):
            _warn_of_root()
            daemon.run()
    except PipeClosedError:
        # A reader that was told to stop together with this program is no failure.
        if not received:
            raise BrokenPipeError from None
    except OutputError:
        # Nor is a terminal that was closed, and to which this program wrote.
        if not terminal.is_closed():
            raise
    if signal.SIGINT in received:
        raise KeyboardInterrupt
    return 0


def _make_daemon(loaded: Loaded, is_device_required: bool, on_status: Callable[[str, str], None]) -> Daemon:

    labels = {label for plan in loaded.plans for label in plan.setup.model.labels}
    warn_of_unknown_labels(loaded.config.output, labels)
    is_live = any(plan.source.is_live for plan in loaded.plans)
    # A recording is the same recording tomorrow; a microphone never hears the same twice.
    names = " ".join(plan.source.name for plan in loaded.plans)
    run_id = secrets.token_hex(6) if is_live else file_run_id(loaded.plans[0].setup.model, names)
    return Daemon(
        loaded.plans,
        Hub(make_sinks(loaded.config.output, is_live=is_live, inherited=take_inherited())),
        run_id=run_id,
        is_device_required=is_device_required,
        on_status=on_status,
    )


def _warn_of_root() -> None:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        logger.warning("process.root: runs as root, which it never needs; `streamgmm service install` avoids it")


def _end_on_bugs(daemon: Daemon) -> None:
    """A thread that dies of a bug, whichever it is, ends the run with that bug."""

    def end(unhandled: threading.ExceptHookArgs) -> None:
        name = unhandled.thread.name if unhandled.thread else "?"
        daemon.fail(unhandled.exc_value or unhandled.exc_type(f"in thread {name}"))

    threading.excepthook = end


def _stop_on_signals(daemon: Daemon) -> list[int]:
    """Stop gracefully on the first SIGTERM or SIGINT, at once on the second; returns what will hold the first."""
    received: list[int] = []
    first_s = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first_s
        if not received:
            first_s = time.monotonic()
            received.append(number)
            daemon.stop(signal.Signals(number).name)
        elif time.monotonic() - first_s > REPEAT_S:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return received


def _log_status_on_signal(daemon: Daemon) -> None:
    # The second has no meaning of its own, and ending the process would be the worst one.
    for name in ("SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, frame: daemon.log_status())
