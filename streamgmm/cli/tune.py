"""`streamgmm tune`: thresholds that keep false alarms within a budget."""

from __future__ import annotations

import argparse
import math
from contextlib import nullcontext
from pathlib import Path

from rich.progress import Progress

from streamgmm.cli.changes import locked
from streamgmm.cli.console import RichTrack, make_progress, stderr_console, stdout_console
from streamgmm.cli.findings import print_findings, read_with_progress
from streamgmm.cli.models import load_chosen_model
from streamgmm.cli.options import as_overrides
from streamgmm.cli.output_file import check_picture, check_writable, write_json
from streamgmm.cli.tuning_tables import print_tuning
from streamgmm.dataset.backgrounds import background_recordings
from streamgmm.dataset.clips import data_sha256
from streamgmm.dataset.listing import Findings
from streamgmm.errors import UsageError
from streamgmm.listening.tracks import ScoredRecording
from streamgmm.model.file import check_target
from streamgmm.model.model import Model
from streamgmm.report.tuning_picture import draw_tuning
from streamgmm.settings.config import Config
from streamgmm.settings.loading import load_config
from streamgmm.training.enrolment.cache_file import save_with_same_cache
from streamgmm.tuning.choice import MAX_BUDGET_PER_HOUR
from streamgmm.tuning.operating_points import Material, make_levels
from streamgmm.tuning.recordings import claimed_s, recordings_with_events, score_recordings
from streamgmm.tuning.tuning import tune
from streamgmm.wording import escaped


def run_tune(args: argparse.Namespace) -> int:
    """Tune the thresholds of a model, and write it."""
    target = args.output or Path(args.model)
    _check_tuning_options(args, target)
    # Held from reading to writing: no other command may change the target in between.
    with nullcontext() if args.dry_run else locked(target):
        return _tune_and_save(args, target)


def _tune_and_save(args: argparse.Namespace, target: Path) -> int:
    loaded = load_config(args.config, [*as_overrides({"model.path": args.model}), *args.overrides])
    config = loaded.config
    model = load_chosen_model(loaded)
    make_levels(config)  # fail on impossible settings before processing hours of audio
    findings = Findings()
    with make_progress(stderr_console()) as progress:
        material = _collect_material(args, model, config, progress, findings)
        tuned = tune(
            *(material, model, config),
            budget_per_hour=args.budget,
            accepts_events=args.accept_events,
            accepts_loss=args.force,
            track=RichTrack(progress),
        )
    print_findings(findings)
    if args.json:
        write_json(tuned.tuning, args.json)
    if args.picture:
        draw_tuning(args.picture, tuned.tuning, tuned.curves, tuned.levels)
    print_tuning(tuned.tuning, stdout_console())
    if not args.dry_run:
        # Thresholds do not affect the training cache, which stays valid.
        save_with_same_cache(tuned.model, Path(args.model), target)
        stderr_console().print(f"wrote {escaped(str(target))}", soft_wrap=True)
    return 0


def _check_tuning_options(args: argparse.Namespace, target: Path) -> None:
    """Reject invalid options and outputs that cannot be written, before processing hours of audio."""
    if math.isnan(args.budget) or not 0.0 < args.budget <= MAX_BUDGET_PER_HOUR:
        hint = "no number of hours can prove a rate of 0" if args.budget == 0.0 else ""
        what = f"--max-false-alarms-per-hour is {args.budget:g}, must be above 0 and at most {MAX_BUDGET_PER_HOUR:g}"
        raise UsageError(what, hint=hint)
    if not args.dry_run:
        check_target(target)
    check_writable(args.json)
    check_picture(args.picture)


def _collect_material(
    args: argparse.Namespace, model: Model, config: Config, progress: Progress, findings: Findings
) -> Material:
    """Process the background, and the events if given; recordings that cannot be read are added to `findings`."""
    pairs = []
    paths = background_recordings(args.background, findings)
    if args.events:
        dataset = read_with_progress(args.events, progress, min_clips=1, channel=config.source.channel, use_gaps=False)
        pairs = recordings_with_events(dataset, model)
        if model.card.get("data_sha256") == data_sha256(dataset.clips):
            findings.warn("the model was trained on these events, of which it finds more than of others")
        findings.warnings.extend(dataset.warnings)
        findings.skipped.extend(dataset.skipped)
    backgrounds = _process_recordings(paths, "background", model, config, progress, findings)
    heard = _process_recordings([path for path, _ in pairs], "events", model, config, progress, findings)
    # Recordings that could not be read have no scores, so their truths are not used.
    truths = dict(pairs)
    return Material(backgrounds, [(one, truths[one.path]) for one in heard])


def _process_recordings(
    paths: list[Path],
    what: str,
    model: Model,
    config: Config,
    progress: Progress,
    findings: Findings,
) -> list[ScoredRecording]:
    """Process recordings with a progress bar in minutes; those that cannot be read are added to `findings`."""
    if not paths:
        return []
    bar = progress.add_task(f"{what}, minutes", total=claimed_s(paths) / 60.0)
    results = score_recordings(paths, model, config, lambda seconds: progress.advance(bar, seconds / 60.0))
    findings.skipped.extend(result for result in results if not isinstance(result, ScoredRecording))
    return [result for result in results if isinstance(result, ScoredRecording)]
