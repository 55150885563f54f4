"""Arguments of `streamgmm evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamgmm.cli.options import (
    add_background_option,
    add_cache_option,
    add_cluster_option,
    add_config_options,
    add_fold_option,
    add_quick_option,
)
from streamgmm.cli.parser import handler_in, place

_DESCRIPTION = """\
Cross-validate on DATA as if heard live, or score --model; --cluster as in train
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `evaluate` and its arguments."""
    parser.description = _DESCRIPTION
    parser.usage = "%(prog)s [OPTION ...] DATA"  # written out, the options would fill a third of the screen
    parser.add_argument("data", metavar="DATA", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("-m", "--model", metavar="MODEL", help="score this model instead of cross-validating")
    parser.add_argument("--by", choices=["fold", "source"], help="what is never split between training and test")
    parser.add_argument("--seeds", metavar="N", type=int, default=1, help="repeat with N seeds (default: 1)")
    add_background_option(parser)
    add_quick_option(parser)
    add_fold_option(parser)
    add_condition_options(parser)
    add_cluster_option(parser, argparse.SUPPRESS)  # for want of a line on the screen; the description names it
    parser.add_argument("--open-set", action="store_true", help="leave out each class in turn: is it rejected?")
    _add_event_options(parser)
    parser.add_argument("--report", metavar="DIR", type=Path, help="write pictures and figures as a page in DIR")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the result as JSON")
    add_cache_option(parser, is_shown=False)
    add_config_options(parser)
    parser.set_defaults(handler=handler_in("streamgmm.cli.evaluate", "run_evaluate"))


def add_condition_options(parser: argparse.ArgumentParser) -> None:
    """Add `--noise`, `--room`, `--band`, `--gain` and `--seconds`, for `streamgmm.cli.conditions.conditions_of`."""
    parser.add_argument(
        "--noise", metavar="KIND:DB", type=place, help="test in noise of this SNR: white, pink or a recording"
    )
    parser.add_argument("--room", metavar="S", type=float, help="test in a room of this reverberation time")
    parser.add_argument("--band", metavar="LOW:HIGH", help="test through a microphone of this band (Hz)")
    parser.add_argument("--gain", metavar="DB", type=float, default=0.0, help="test at another level")
    parser.add_argument("--seconds", metavar="S", type=float, help="test on the first active seconds only")


def _add_event_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--events", action="store_true", help="score events instead of clips; needs --model")
    parser.add_argument("--collar", metavar="S[,S]", help="of onsets, and perhaps of offsets (default: 0.5)")
    parser.add_argument("--segment", metavar="S", help="length of segments to compare (default: 0.1)")
