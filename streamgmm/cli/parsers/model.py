"""Arguments of `streamgmm model`."""

from __future__ import annotations

import argparse

from streamgmm.cli.parser import handler_in, place

_SHOW_MODEL = "Print the labels and features of a model, and the card of its training."
_VERIFY_MODEL = """\
Check a model as `run` would: layout, hash, numbers, labels, and a test score.
The hash detects damage, not who made the file: compare it with one you trust.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `model` and its arguments."""
    parser.description = "Show or verify a model."
    actions = parser.add_subparsers(metavar="ACTION", title="actions", dest="action", required=True)

    show = actions.add_parser("show", help="print labels, features and scores", description=_SHOW_MODEL)
    show.add_argument(
        "file", metavar="FILE", nargs="?", type=place, help="made by `train` (default: bundled, ten sounds)"
    )
    show.add_argument("--json", action="store_true", help="print one JSON object")
    show.set_defaults(handler=handler_in("streamgmm.cli.model", "show_model"))

    verify = actions.add_parser("verify", help="check that a file is intact", description=_VERIFY_MODEL)
    verify.add_argument("file", metavar="FILE", type=place, help="model made by `streamgmm train`")
    verify.add_argument("--sha256", metavar="HEX", help="the content hash it must have, as `model show` prints it")
    verify.set_defaults(handler=handler_in("streamgmm.cli.model", "verify_model"))
