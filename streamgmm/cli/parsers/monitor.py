"""Arguments of `streamgmm monitor`."""

from __future__ import annotations

import argparse

from streamgmm.cli.options import add_config_options
from streamgmm.cli.parser import handler_in, place

_DESCRIPTION = """\
Watch a running daemon over one of its sockets, over all its restarts, or listen
to a source without a daemon. q or Ctrl-C quits. Levels and scores need records
of windows: `streamgmm run --windows`, or output.windows: true in its settings.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `monitor` and its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "daemon",
        metavar="SINK",
        nargs="?",
        type=place,
        help="unix://PATH or tcp://HOST:PORT (default: of settings or service)",
    )
    parser.add_argument("-s", "--source", metavar="[NAME=]URI", action="append", help="listen here, without a daemon")
    parser.add_argument("-m", "--model", metavar="MODEL", help="for --source (default: bundled, of ten sounds)")
    parser.add_argument("--pace", metavar="X", help="for --source file:PATH: X times real time (default: 1)")
    parser.add_argument("--plain", action="store_true", help="a line for each change (default if not on a terminal)")
    add_config_options(parser)
    # What `run` has as options, for the run that --source makes.
    parser.set_defaults(sink=None, format=None, windows=True, require_device=False)
    parser.set_defaults(handler=handler_in("streamgmm.cli.monitor", "run_monitor"))
