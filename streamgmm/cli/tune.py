"""`streamgmm tune`: thresholds that keep false alarms within a budget."""

from __future__ import annotations

import argparse
import math
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from streamgmm.cli.options import add_config_options, as_overrides
from streamgmm.errors import UsageError

if TYPE_CHECKING:
    from rich.progress import Progress

    from streamgmm.config import Config
    from streamgmm.dataset.listing import Findings
    from streamgmm.listening.tracks import ScoredRecording
    from streamgmm.model.model import Model
    from streamgmm.tuning.operating_points import Material

_DESCRIPTION = """\
Set thresholds of MODEL so that all labels together raise at most X false alarms
per hour on recordings of your background, in which none of its sounds occurs.
If no threshold keeps to X, nothing is written (exit code 65).
"""

MAX_RATE_PER_HOUR = 3600.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `tune`."""
    parser = subparsers.add_parser(
        "tune", help="keep false alarms within a budget on your background", description=_DESCRIPTION
    )
    parser.add_argument("model", metavar="MODEL", help="model made by `streamgmm train`")
    parser.add_argument(
        "--background",
        metavar="PATH",
        type=Path,
        action="append",
        required=True,
        help="recording or folder; repeatable",
    )
    parser.add_argument("--max-false-alarms-per-hour", metavar="X", type=float, required=True, dest="budget")
    parser.add_argument("--events", metavar="DATA", type=Path, help="labelled sounds, to lose the fewest of them")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write there (default: MODEL itself)")
    parser.add_argument("--dry-run", action="store_true", help="write no model")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the result as JSON")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="draw what budgets cost, as PNG")
    add_config_options(parser)
    parser.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> int:
    from streamgmm.cli.changes import locked

    target = args.output or Path(args.model)
    _check_options(args, target)
    with nullcontext() if args.dry_run else locked(target):
        return _tune(args, target)


def _tune(args: argparse.Namespace, target: Path) -> int:
    from streamgmm.cli.console import RichTrack, make_progress, stderr_console, stdout_console, tell_findings
    from streamgmm.cli.output_file import write_json
    from streamgmm.cli.run import load_chosen_model
    from streamgmm.cli.tuning_tables import print_tuning
    from streamgmm.config_loading import load_config
    from streamgmm.dataset.listing import Findings
    from streamgmm.report.tuning_picture import draw_tuning
    from streamgmm.training.memory_file import save_with_same_memory
    from streamgmm.tuning.operating_points import make_levels
    from streamgmm.tuning.tuning import tune
    from streamgmm.wording import escaped

    loaded = load_config(args.config, [*as_overrides({"model.path": args.model}), *args.overrides])
    config = loaded.config
    model = load_chosen_model(loaded)
    make_levels(config)  # what the settings forbid is told before hours are listened to
    findings = Findings()
    with make_progress(stderr_console()) as progress:
        material = _listen(args, model, config, progress, findings)
        tuned = tune(material, model, config, budget_per_hour=args.budget, track=RichTrack(progress))
    tell_findings(findings)
    if args.json:
        write_json(tuned.tuning, args.json)
    if args.picture:
        draw_tuning(args.picture, tuned.tuning, tuned.curves, tuned.levels)
    print_tuning(tuned.tuning, stdout_console())
    if not args.dry_run:
        save_with_same_memory(tuned.model, Path(args.model), target)
        stderr_console().print(f"wrote {escaped(str(target))}", soft_wrap=True)
    return 0


def _check_options(args: argparse.Namespace, target: Path) -> None:
    """Refuse what makes no sense or cannot be written, before hours are listened to."""
    from streamgmm.cli.output_file import check_picture, check_writable
    from streamgmm.model.file import check_target

    if math.isnan(args.budget) or not 0.0 < args.budget <= MAX_RATE_PER_HOUR:
        hint = "no number of hours proves that there will be none" if args.budget == 0.0 else ""
        what = f"--max-false-alarms-per-hour is {args.budget:g}, must be above 0 and at most {MAX_RATE_PER_HOUR:g}"
        raise UsageError(what, hint=hint)
    if not args.dry_run:
        check_target(target)
    check_writable(args.json)
    check_picture(args.picture)


def _listen(args: argparse.Namespace, model: Model, config: Config, progress: Progress, findings: Findings) -> Material:
    """Hear the background, and the events if there are any; what could not be heard is among the findings."""
    from streamgmm.cli.console import read_shown
    from streamgmm.dataset.backgrounds import background_recordings
    from streamgmm.tuning.operating_points import Material
    from streamgmm.tuning.recordings import recordings_with_events

    pairs = []
    paths = background_recordings(args.background, findings)
    if args.events:
        dataset = read_shown(args.events, progress, min_clips=1, channel=config.source.channel, use_gaps=False)
        pairs = recordings_with_events(dataset, model)
        findings.warnings.extend(dataset.warnings)
        findings.skipped.extend(dataset.skipped)
    backgrounds = _hear(paths, "background", model, config, progress, findings)
    heard = _hear([path for path, _ in pairs], "events", model, config, progress, findings)
    truths = dict(pairs)
    return Material(backgrounds, [(one, truths[one.path]) for one in heard])


def _hear(
    paths: list[Path],
    what: str,
    model: Model,
    config: Config,
    progress: Progress,
    findings: Findings,
) -> list[ScoredRecording]:
    """Hear recordings behind a bar of minutes; those that cannot be heard are among the findings."""
    from streamgmm.listening.tracks import ScoredRecording
    from streamgmm.tuning.recordings import claimed_s, score_recordings

    if not paths:
        return []
    bar = progress.add_task(f"{what}, minutes", total=claimed_s(paths) / 60.0)
    results = score_recordings(paths, model, config, lambda seconds: progress.advance(bar, seconds / 60.0))
    findings.skipped.extend(result for result in results if not isinstance(result, ScoredRecording))
    return [result for result in results if isinstance(result, ScoredRecording)]
