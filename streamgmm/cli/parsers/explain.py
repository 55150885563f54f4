"""Arguments of `streamgmm explain`."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path

from streamgmm.cli.options import add_config_options
from streamgmm.cli.parser import handler_in

_DESCRIPTION = """\
Explain the decision at one moment of a recording, processed from its beginning
as `run` would: the gates, the posteriors, and which kinds of features in which
bands favour the best label over another.
"""

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")
_UNITS_S = (3600.0, 60.0, 1.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `explain` and its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument("file", metavar="FILE", type=Path, help="recording of any format and rate")
    parser.add_argument(
        "--at", metavar="TIME", type=parse_time_s, required=True, help="end of the window: seconds, or m:ss, or h:mm:ss"
    )
    parser.add_argument("-m", "--model", metavar="MODEL", help="made by `train` (default: bundled, ten sounds)")
    parser.add_argument("--against", metavar="LABEL", help="compare with LABEL (default: the next best one)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the result as JSON")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="draw it, as PNG or SVG by the suffix")
    add_config_options(parser)
    parser.set_defaults(handler=handler_in("streamgmm.cli.explain", "run_explain"))


def parse_time_s(text: str) -> float:
    """Return the seconds of `75`, `75.5`, `1:15.5` or `0:01:15`.

    Raises:
        ArgumentTypeError: `text` is none of these.
    """
    match = _TIME.fullmatch(text)
    time_s = (
        sum(float(part or 0.0) * unit_s for part, unit_s in zip(match.groups(), _UNITS_S, strict=True))
        if match
        else math.inf
    )
    # Hundreds of digits give infinity as well.
    if not math.isfinite(time_s):
        raise argparse.ArgumentTypeError(f"{text} is not a time; write seconds, as 75.5, or 1:15.5")
    return time_s
