"""`streamgmm run`: start the daemon, and handle signals."""

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
from typing import TYPE_CHECKING

from streamgmm.cli.plans import load_settings, plan_channels, refuse_idle_options
from streamgmm.cli.supervised import supervised
from streamgmm.cli.terminal import Terminal
from streamgmm.errors import OutputError
from streamgmm.service.daemon import Daemon
from streamgmm.service.greeting import file_run_id
from streamgmm.service.log_limit import LogLimit
from streamgmm.service.log_writer import detached_log
from streamgmm.service.notify import Notifier
from streamgmm.service.reload import Loaded
from streamgmm.service.room_keeper import RoomKeeper, state_directory
from streamgmm.service.supervision import Supervision
from streamgmm.settings.clips import ClipsSection
from streamgmm.signals import ignore_unused_signals, wait_for_children
from streamgmm.sinks.hub import Hub, make_sinks
from streamgmm.sinks.selection import warn_of_unknown_names
from streamgmm.sinks.sink import PipeClosedError
from streamgmm.sinks.socket.activation import take_inherited

if TYPE_CHECKING:
    from streamgmm.service.clip_writer import ClipWriter

logger = logging.getLogger("streamgmm.run")

REPEAT_S = 0.5
"""Time within which a second signal counts as the first one (s): `timeout` signals both the process and its group."""


def run_daemon(args: argparse.Namespace) -> int:
    """Run the daemon until all sources end, or until it is stopped; return the exit code."""

    def load_again() -> Loaded:
        # The same file as at the start: if it is missing now, the reload must fail and not use the defaults.
        return plan_channels(load_settings(args, settings.path), says_which=False)

    ignore_unused_signals()
    wait_for_children()
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
        # If a signal stops the whole pipeline, the reader that ends first is not a failure.
        if not received:
            raise BrokenPipeError from None
    except OutputError:
        # Neither is a closed terminal that stdout was connected to.
        if not terminal.is_closed():
            raise
    # `main` then ends the process by SIGINT, which shells expect after Ctrl-C.
    if signal.SIGINT in received:
        raise KeyboardInterrupt
    return 0


def _make_daemon(loaded: Loaded, is_device_required: bool, on_status: Callable[[str, str], None]) -> Daemon:

    labels = {label for plan in loaded.plans for label in plan.setup.labels}
    warn_of_unknown_names(loaded.config.output, labels, [plan.source.name for plan in loaded.plans])
    for label in sorted({label for item in loaded.config.schedule for label in item.labels} - labels):
        logger.warning("schedule: no model has a label %r", label)
    is_live = any(plan.source.is_live for plan in loaded.plans)
    # Runs over the same recordings get the same id, so that their output is reproducible; live runs get a random id.
    names = " ".join(plan.source.name for plan in loaded.plans)
    run_id = secrets.token_hex(6) if is_live else file_run_id(loaded.plans[0].setup.model, names)
    sinks = make_sinks(
        loaded.config.output,
        is_live=is_live,
        inherited=take_inherited(),
        clips_directory=loaded.config.clips.directory,
    )
    clips = _make_clip_writer(loaded.config.clips, labels, is_live=is_live)
    return Daemon(
        loaded.plans,
        Hub(sinks, [clips] if clips else []),
        run_id=run_id,
        is_device_required=is_device_required,
        rooms=RoomKeeper(state_directory()),
        clips=clips,
        on_status=on_status,
    )


def _make_clip_writer(section: ClipsSection, labels: set[str], *, is_live: bool) -> ClipWriter | None:
    if not section.directory:
        return None
    # Imported here: a run that stores no audio needs nothing of it.
    from streamgmm.service.clip_writer import ClipWriter

    for label in sorted(set(section.labels) - labels):
        logger.warning("clips.labels: no model has a label %r", label)
    return ClipWriter(section, is_live=is_live)


def _warn_of_root() -> None:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        logger.warning("process.root: runs as root, which it never needs; `streamgmm service install` avoids it")


def _end_on_bugs(daemon: Daemon) -> None:
    """End the run with the exception if any thread ends by an unhandled one."""

    def end(unhandled: threading.ExceptHookArgs) -> None:
        name = unhandled.thread.name if unhandled.thread else "?"
        # `exc_value` may be None; the type alone still makes an exception.
        daemon.fail(unhandled.exc_value or unhandled.exc_type(f"in thread {name}"))

    threading.excepthook = end


def _stop_on_signals(daemon: Daemon) -> list[int]:
    """Stop gracefully on the first SIGTERM or SIGINT, at once on the second; return a list that receives the first."""
    received: list[int] = []
    first_s = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first_s
        if not received:
            first_s = time.monotonic()
            received.append(number)
            daemon.stop(signal.Signals(number).name)
        elif time.monotonic() - first_s > REPEAT_S:
            # By its default action, the signal ends even a process whose shutdown hangs.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return received


def _log_status_on_signal(daemon: Daemon) -> None:
    # SIGUSR2 has no function of its own, but its default action would end the process.
    for name in ("SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, frame: daemon.log_status())
