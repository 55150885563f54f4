"""`streamgmm forget`: a class less."""

from __future__ import annotations

import argparse

from streamgmm.cli.options import add_change_options

_DESCRIPTION = """\
Take the class LABEL out of a model, and its clips out of the file MODEL-memory
that `train` wrote beside it. The other classes are fitted anew without it.
If they lose by it, nothing is written (exit code 65).
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `forget`."""
    parser = subparsers.add_parser(
        "forget",
        help="take a class out of a model",
        description=_DESCRIPTION,
        usage="%(prog)s LABEL --model MODEL [OPTION ...]",
    )
    parser.add_argument("label", metavar="LABEL", help="a class of the model")
    add_change_options(parser)
    parser.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> int:
    from streamgmm.cli.changes import changing_model, settle
    from streamgmm.cli.console import RichTrack, make_progress, stderr_console
    from streamgmm.training.enrolment.enrolment import forget

    with changing_model(args) as (model, memory):
        with make_progress(stderr_console()) as progress:
            change = forget(model, memory, args.label, RichTrack(progress))
        return settle(change, model, args)
