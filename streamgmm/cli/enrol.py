"""`streamgmm enrol`: a class more, in seconds and without the old recordings."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamgmm.cli.options import add_change_options

if TYPE_CHECKING:
    from streamgmm.dataset.clips import Clip
    from streamgmm.model.model import Model
    from streamgmm.training.enrolment.training_cache import TrainingCache

_DESCRIPTION = """\
Add the class LABEL to a model, or CLIPs to a class that it has: 3 recordings or
more for a new one, as files or folders. The recordings that the model was made
of are not needed, but the file MODEL-memory that `train` wrote beside it is.
If the other classes lose by it, nothing is written (exit code 65).
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `enrol`."""
    parser = subparsers.add_parser(
        "enrol",
        help="teach a model another class within seconds",
        description=_DESCRIPTION,
        usage="%(prog)s LABEL CLIP ... --model MODEL [OPTION ...]",
    )
    parser.add_argument("label", metavar="LABEL", help="what is heard in the clips")
    parser.add_argument("clips", metavar="CLIP", type=Path, nargs="+", help="recording, or folder of recordings")
    add_change_options(parser)
    parser.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> int:
    from streamgmm.cli.changes import changing_model, settle
    from streamgmm.cli.console import RichTrack, make_progress, stderr_console, tell_findings
    from streamgmm.dataset.listing import Findings
    from streamgmm.training.enrolment.enrolment import check_enrolled, enrol, new_clips

    with changing_model(args) as (model, memory):
        label = check_enrolled(args.label, model)
        findings = Findings()
        with make_progress(stderr_console()) as progress:
            clips = new_clips(args.clips, label, memory, findings)
            change = enrol(model, memory, label, clips, findings, track=RichTrack(progress))
        tell_findings(findings)
        return settle(change, model, args, [_likeness(model, memory, clips)])


def _likeness(model: Model, memory: TrainingCache, clips: Sequence[Clip]) -> str:
    """What the model as it was takes the new clips for: with these classes they will be confused, if with any."""
    import msgspec

    from streamgmm.config import Config
    from streamgmm.evaluation.answering import answer_clips

    config = msgspec.convert({"training": {"n_jobs": 1}, "source": {"channel": memory.task.channel}}, Config)
    best = Counter[str]()
    for answer in answer_clips(clips, model, config):
        best[max(answer.decision.posteriors, key=answer.decision.posteriors.__getitem__)] += 1
    counts = ", ".join(f"{label} {n}" for label, n in best.most_common())
    return f"the new clips sound most like, to the model as it was: {counts} (of {best.total()})"
