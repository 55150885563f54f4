"""`streamgmm forget`: remove a class from a model."""

from __future__ import annotations

import argparse

from streamgmm.cli.changes import apply_change, changing_model
from streamgmm.cli.console import RichTrack, make_progress, stderr_console
from streamgmm.training.enrolment.enrolment import forget


def run_forget(args: argparse.Namespace) -> int:
    """Remove a class, and write the model unless the other classes lose by it."""
    with changing_model(args) as (model, cache):
        with make_progress(stderr_console()) as progress:
            change = forget(model, cache, args.label, RichTrack(progress))
        return apply_change(change, model, args)
