"""Arguments of `streamgmm review`."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamgmm.cli.parser import handler_in

_DESCRIPTION = """\
Go through the clips that `run` keeps in DIR (clips.directory), and sort them
into DIR/accepted/LABEL/ and DIR/accepted/background/ for the next training.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `review` and its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument("directory", metavar="DIR", type=Path, help="folder of the clips")
    parser.add_argument("clips", metavar="CLIP", nargs="*", help="only these clips, as --list shows them")
    parser.add_argument("--list", action="store_true", help="print the clips as tab-separated values, and move none")
    parser.add_argument("--as", dest="label", metavar="LABEL", help="accept CLIP as LABEL; background: as no event")
    parser.set_defaults(handler=handler_in("streamgmm.cli.review", "run_review"))
