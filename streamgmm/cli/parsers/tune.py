"""Arguments of `streamgmm tune`."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamgmm.cli.options import add_config_options
from streamgmm.cli.parser import handler_in

_DESCRIPTION = """\
Set thresholds of MODEL so that all labels together raise at most X false alarms
per hour on recordings of your background, in which none of its sounds occurs.
Where that cannot be or leaves a label deaf, nothing is written (exit code 65).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `tune` and its arguments."""
    parser.usage = "%(prog)s --background PATH --max-false-alarms-per-hour X\n                      [OPTION ...] MODEL"
    parser.description = _DESCRIPTION
    parser.add_argument("model", metavar="MODEL", help="model made by `streamgmm train`")
    parser.add_argument(
        "--background",
        metavar="PATH",
        type=Path,
        action="append",
        required=True,
        help="recording or folder; repeatable",
    )
    parser.add_argument("--max-false-alarms-per-hour", metavar="X", type=float, required=True, dest="budget")
    parser.add_argument("--accept-events", action="store_true", help="the background may hold sounds of the labels")
    parser.add_argument("--events", metavar="DATA", type=Path, help="labelled sounds, to lose the least recall")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write to FILE (default: MODEL itself)")
    parser.add_argument("--force", action="store_true", help="write even if a label is lost by it")
    parser.add_argument("--dry-run", action="store_true", help="write no model")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the result as JSON")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="draw recall by budget, as PNG or SVG")
    add_config_options(parser)
    parser.set_defaults(handler=handler_in("streamgmm.cli.tune", "run_tune"))
