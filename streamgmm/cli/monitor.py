"""`streamgmm monitor`: watch a running daemon, or a source without one, in a terminal."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable

from streamgmm.cli.console import stdout_console
from streamgmm.cli.daemon_address import DaemonAddress, find_daemon
from streamgmm.errors import UsageError
from streamgmm.monitor.board import Board
from streamgmm.monitor.feed import DaemonFeed, Feed, Viewer
from streamgmm.monitor.lines import LinePrinter
from streamgmm.monitor.screen import SharedBoard, show_on_screen

logger = logging.getLogger("streamgmm.monitor")


def run_monitor(args: argparse.Namespace) -> int:
    """Show what a daemon reports until somebody quits, or what is in a source until it ends.

    Raises:
        StreamgmmError: no daemon answers, it refuses the token, or the source or the model is not usable.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    _check_usage(args)
    title, make_feed = _own_run(args) if args.source else _daemon(args)
    board = Board(title, "listening" if args.source else "connected")
    console = stdout_console()
    if args.plain or not sys.stdout.isatty() or console.is_dumb_terminal:
        make_feed(LinePrinter(board, lambda line: print(line, flush=True))).run()
    else:
        shared = SharedBoard(board)
        show_on_screen(shared, make_feed(shared), console)
    return 0


def _check_usage(args: argparse.Namespace) -> None:
    if args.source and args.daemon:
        raise UsageError("SINK is a daemon, and --source listens without one: give only one of them")
    if not args.source and (args.model or args.pace):
        raise UsageError("--model and --pace are for --source; a daemon has its own")


MakeFeed = Callable[[Viewer], Feed]


def _daemon(args: argparse.Namespace) -> tuple[str, MakeFeed]:
    """Return the address of the daemon, and what connects to it."""
    found: DaemonAddress = find_daemon(args.daemon, args.config, args.overrides)
    if found.problem is not None:
        logger.warning("the settings have mistakes, which the daemon does not use: %s", found.problem)
    token = found.token.to_line() if found.token else None
    return found.uri, lambda viewer: DaemonFeed(found.uri, token, viewer)


def _own_run(args: argparse.Namespace) -> tuple[str, MakeFeed]:
    """Return a title, and what listens to the sources given."""
    # Only now: to watch a daemon needs neither numpy nor a model.
    from streamgmm.cli.plans import load_settings, plan_channels, refuse_idle_options
    from streamgmm.monitor.own_run import OwnRun

    if args.log_level != "debug":
        # Its log would repeat what the monitor shows.
        logging.getLogger("streamgmm").setLevel(logging.WARNING)
    settings = load_settings(args)
    refuse_idle_options(args, settings.config)
    if not any(key.endswith("pace") for key in settings.explicit_keys):
        # By default a recording is read as fast as possible, which nobody could watch.
        args.overrides.append("source.pace=1")
        settings = load_settings(args)
    plans = plan_channels(settings, says_which=True).plans
    title = f"{', '.join(plan.source.name for plan in plans)}, without a daemon"
    return title, lambda viewer: OwnRun(plans, "monitor", viewer)
