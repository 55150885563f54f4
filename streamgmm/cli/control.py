"""`streamgmm control`: pause and resume a running daemon, and switch its labels off and on."""

from __future__ import annotations

import argparse

from streamgmm.cli.daemon_address import find_daemon
from streamgmm.sinks.asking import send_command
from streamgmm.sinks.control import Command

ANSWER_TIMEOUT_S = 3.0


def run_control(args: argparse.Namespace) -> int:
    """Send a command to a daemon; prints nothing if it is obeyed.

    Raises:
        StreamgmmError: the daemon refuses, or does not answer (see `send_command`).
    """
    # The settings may have mistakes, as in `status`: the daemon runs with those that it read before.
    uri = find_daemon(args.sink, args.config, args.overrides, kinds=("unix://",)).uri
    send_command(uri, Command(action=args.action, labels=args.labels, for_s=args.for_s), ANSWER_TIMEOUT_S)
    return 0
