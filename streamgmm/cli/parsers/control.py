"""Arguments of `streamgmm control`."""

from __future__ import annotations

import argparse
import re

from streamgmm.cli.options import add_config_options
from streamgmm.cli.parser import handler_in, place
from streamgmm.sinks.control import MAX_PAUSE_S

_DESCRIPTION = """\
Pause a running daemon, or switch labels off, over its UNIX socket: as its own
user, or root, until a restart or the next change of `schedule`.
"""

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `control` and its arguments."""
    parser.description = _DESCRIPTION
    actions = parser.add_subparsers(metavar="ACTION", title="actions", dest="action", required=True)
    pause = actions.add_parser("pause", help="report no events", description="Report no events until `resume`.")
    pause.add_argument("--for", dest="for_s", metavar="TIME", type=duration_s, help="only so long: 90s, 30m, 8h or 2d")
    resume = actions.add_parser("resume", help="report events again", description="Report events again.")
    off = actions.add_parser("off", help="switch labels off", description="Report no events of some labels.")
    on = actions.add_parser("on", help="switch labels on again", description="Report events of some labels again.")
    for action in (off, on):
        action.add_argument("labels", metavar="LABEL", nargs="+", help="a label of its model")
    for action in (pause, resume, off, on):
        _add_common_options(action)


def duration_s(text: str) -> float:
    """Return a time such as `30m` in seconds.

    Raises:
        ArgumentTypeError: it is not such a time, or longer than a year.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)([smhd])", text, re.ASCII)
    seconds = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
    if not 0.0 < seconds <= MAX_PAUSE_S:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90s, 30m, 8h or 2d, up to a year")
    return seconds


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-k", "--sink", metavar="SINK", type=place, help="its unix://PATH (default: of settings or service)"
    )
    add_config_options(parser)
    parser.set_defaults(handler=handler_in("streamgmm.cli.control", "run_control"), labels=[], for_s=None)
