"""Arguments of `streamgmm enrol`."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamgmm.cli.options import add_cache_option, add_change_options
from streamgmm.cli.parser import handler_in

_DESCRIPTION = """\
Add the class LABEL to a model, or CLIPs to a class that it has: 3 recordings or
more for a new one, as files or folders. The recordings that the model was
trained on are not needed, but MODEL-memory, which `train` wrote beside it, is.
If the other classes lose by it, nothing is written (exit code 65).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `enrol` and its arguments."""
    parser.description = _DESCRIPTION
    parser.usage = "%(prog)s LABEL CLIP ... --model MODEL [OPTION ...]"
    parser.add_argument("label", metavar="LABEL", help="the class of the clips")
    parser.add_argument("clips", metavar="CLIP", type=Path, nargs="+", help="recording, or folder of recordings")
    add_change_options(parser)
    add_cache_option(parser)
    parser.set_defaults(handler=handler_in("streamgmm.cli.enrol", "run_enrol"))
