"""`streamgmm enrol`: add a class to a model, in seconds and without the old recordings."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

import msgspec

from streamgmm.cli.changes import apply_change, changing_model
from streamgmm.cli.console import RichTrack, make_progress, stderr_console
from streamgmm.cli.findings import print_findings
from streamgmm.dataset.clips import Clip
from streamgmm.dataset.listing import Findings
from streamgmm.evaluation.answering import answer_clips
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.training.enrolment.enrolment import check_enrolled, enrol, new_clips
from streamgmm.training.enrolment.training_cache import TrainingCache


def run_enrol(args: argparse.Namespace) -> int:
    """Add a class, or clips to a class, and write the model unless the other classes lose by it."""
    with changing_model(args) as (model, cache):
        label = check_enrolled(args.label, model)
        findings = Findings()
        with make_progress(stderr_console()) as progress:
            clips = new_clips(args.clips, label, cache, findings)
            change = enrol(model, cache, label, clips, findings, is_cached=not args.no_cache, track=RichTrack(progress))
        print_findings(findings)
        return apply_change(change, model, args, [_labels_by_old_model(model, cache, clips)])


def _labels_by_old_model(model: Model, cache: TrainingCache, clips: Sequence[Clip]) -> str:
    """Return a line with the labels that the old model gives the new clips: the classes most likely to be confused."""
    # The channel of the training, whatever the settings are now.
    config = msgspec.convert({"training": {"n_jobs": 1}, "source": {"channel": cache.task.channel}}, Config)
    best = Counter[str]()
    for answer in answer_clips(clips, model, config):
        best[max(answer.decision.posteriors, key=answer.decision.posteriors.__getitem__)] += 1
    counts = ", ".join(f"{label} {n}" for label, n in best.most_common())
    return f"the old model classifies the new clips as {counts} (of {best.total()})"
