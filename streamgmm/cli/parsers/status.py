"""Arguments of `streamgmm status`."""

from __future__ import annotations

import argparse

from streamgmm.cli.options import add_config_options
from streamgmm.cli.parser import handler_in, place

_DESCRIPTION = """\
Ask a running daemon over one of its sockets how well it hears each source.
exit code  0 audio is flowing · 75 it is not, and is waited for · 69 no daemon
           77 you may not ask it
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `status` and its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "-k",
        "--sink",
        metavar="SINK",
        type=place,
        help="its unix://PATH or tcp://HOST:PORT (default: of settings or service)",
    )
    parser.add_argument("--json", action="store_true", help="print a status record as JSON for each source")
    add_config_options(parser)
    parser.set_defaults(handler=handler_in("streamgmm.cli.status", "run_status"))
