"""Arguments of `streamgmm forget`."""

from __future__ import annotations

import argparse

from streamgmm.cli.options import add_change_options
from streamgmm.cli.parser import handler_in

_DESCRIPTION = """\
Remove the class LABEL from a model, and its clips from the file MODEL-memory
that `train` wrote beside it. The other classes are fitted again without it.
If they lose by it, nothing is written (exit code 65).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `forget` and its arguments."""
    parser.description = _DESCRIPTION
    parser.usage = "%(prog)s LABEL --model MODEL [OPTION ...]"
    parser.add_argument("label", metavar="LABEL", help="a class of the model")
    add_change_options(parser)
    parser.set_defaults(handler=handler_in("streamgmm.cli.forget", "run_forget"))
