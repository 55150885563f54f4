"""Arguments of `streamgmm retrain`."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamgmm.cli.options import add_cache_option, add_caution_options
from streamgmm.cli.parser import handler_in

_DESCRIPTION = """\
Train MODEL again with the clips below DIR/accepted that `streamgmm review` has
sorted: those of a class extend it, 3 or more of a new label become a class, and
rejected ones are background. The recordings of the first training are not
needed, but MODEL-memory, which `train` wrote beside it, is. If fewer sounds are
found than before, nothing is written (exit code 65). The model that was there
is kept beside it, for --back.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `retrain` and its arguments."""
    parser.description = _DESCRIPTION
    parser.usage = "%(prog)s MODEL --clips DIR [OPTION ...]\n       %(prog)s MODEL --back"
    parser.add_argument("model", metavar="MODEL", type=Path, help="made by `streamgmm train`, and used by `run`")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--clips", metavar="DIR", type=Path, help="folder of the clips, as for `review`")
    action.add_argument("--back", action="store_true", help="return to the model before the last retraining")
    add_caution_options(parser)
    add_cache_option(parser)
    # The model itself is replaced: a daemon reads it from where it is.
    parser.set_defaults(handler=handler_in("streamgmm.cli.retrain", "run_retrain"), output=None)
