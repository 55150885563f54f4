"""`streamgmm evaluate`: how good it is on recordings that it has not seen."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from streamgmm.cli.conditions import add_condition_options, conditions_of
from streamgmm.cli.evaluate_events import add_event_options, check_event_options, run_events
from streamgmm.cli.options import add_background_option, add_config_options, add_fold_option, add_quick_option
from streamgmm.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from streamgmm.config import Config
    from streamgmm.dataset.dataset import Dataset
    from streamgmm.evaluation.conditions import Conditions
    from streamgmm.evaluation.trial import Trial
    from streamgmm.model.model import Model

_DESCRIPTION = """\
Answer held-out clips of DATA as the stream would; or score --model on DATA.
"""

MAX_SEEDS = 1000
_SEEN = "the model was trained on these very recordings, so the scores say nothing of others; leave --model away"
PAGE_NAME = "evaluation.html"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `evaluate`."""
    parser = subparsers.add_parser(
        "evaluate",
        usage="%(prog)s [OPTION ...] DATA",  # written out, the options would fill a third of the screen
        help="measure a model on recordings it has not seen",
        description=_DESCRIPTION,
    )
    parser.add_argument("data", metavar="DATA", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("-m", "--model", metavar="MODEL", help="score this model instead of cross-validating")
    parser.add_argument("--by", choices=["fold", "source"], help="what is never divided between training and test")
    parser.add_argument("--seeds", metavar="N", type=int, default=1, help="repeat with N seeds (default: 1)")
    add_background_option(parser)
    add_quick_option(parser)
    add_fold_option(parser)
    add_condition_options(parser)
    parser.add_argument("--open-set", action="store_true", help="leave out each class in turn: is it told apart?")
    add_event_options(parser)
    parser.add_argument("--report", metavar="DIR", type=Path, help="write pictures and figures as a page in DIR")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the result as JSON")
    add_config_options(parser)
    parser.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> int:
    from streamgmm.cli.console import stderr_console, stdout_console
    from streamgmm.cli.output_file import check_writable, write_file, write_json
    from streamgmm.cli.run import load_chosen_model
    from streamgmm.cli.scores import print_evaluation
    from streamgmm.config_loading import load_config
    from streamgmm.evaluation.scores import score_trial
    from streamgmm.wording import escaped

    _check_options(args)
    conditions = conditions_of(args)
    loaded = load_config(args.config, [*_shorthands(args), *args.overrides])
    model = load_chosen_model(loaded) if args.model is not None else None
    check_writable(args.json)
    if args.events and model is not None:
        return run_events(args, model, loaded.config)
    page = _prepare_page(args.report)
    console = stderr_console()
    trial = _try(args, loaded.config, model, conditions, console)
    evaluation = score_trial(trial)
    if args.json:
        write_json(evaluation, args.json)
    print_evaluation(evaluation, stdout_console())
    if page:
        from streamgmm.report.page import evaluation_page

        write_file(evaluation_page(trial, loaded.config).encode(), page)
        console.print(f"page: {escaped(str(page))}", soft_wrap=True)
    return 0


def _try(
    args: argparse.Namespace, config: Config, model: Model | None, conditions: Conditions, console: Console
) -> Trial:
    """Read the recordings and have them answered, showing how far that is; then say what may flatter."""
    from streamgmm.cli.console import RichTrack, make_progress, read_shown
    from streamgmm.dataset.report import skipped_table
    from streamgmm.evaluation.evaluation import cross_validate, score_model
    from streamgmm.wording import escaped

    with make_progress(console) as progress:
        track = RichTrack(progress)
        # A model that exists can be tried on a single clip.
        min_clips = config.training.min_clips if model is None else 1
        reading = {"min_clips": min_clips, "channel": config.source.channel, "folds": args.folds}
        dataset = read_shown(args.data, progress, backgrounds=args.backgrounds, **reading)
        if model is not None:
            trial = score_model(dataset, model, config, conditions=conditions, track=track)
        else:
            options = {"division": args.by or "auto", "n_seeds": args.seeds, "is_open_set": args.open_set}
            # It takes as long as a search, and is shown on the page alone.
            options["is_ablated"] = args.report is not None and not args.quick
            trial = cross_validate(dataset, config, **options, conditions=conditions, track=track)
    of_model = [] if model is None else _warnings_of(model, dataset)
    for warning in [*trial.dataset.warnings, *of_model]:
        console.print(f"warning: {escaped(warning)}", soft_wrap=True)
    for note in trial.dataset.notes:
        console.print(f"note: {escaped(note)}", soft_wrap=True)
    if trial.dataset.skipped:
        console.print(skipped_table(trial.dataset.skipped))
    return trial


def _warnings_of(model: Model, dataset: Dataset) -> list[str]:
    """What makes the scores of a model on a data set other than they would be elsewhere."""
    from streamgmm.audio.resample import is_narrow, narrow_band
    from streamgmm.dataset.clips import data_sha256
    from streamgmm.dataset.dataset import common_rate_hz

    seen = [_SEEN] if model.card.get("data_sha256") == data_sha256(dataset.clips) else []
    rates_hz = common_rate_hz(dataset), model.spec.sample_rate_hz
    return [*seen, narrow_band(*rates_hz)] if is_narrow(*rates_hz) else seen


def _check_options(args: argparse.Namespace) -> None:
    if not 1 <= args.seeds <= MAX_SEEDS:
        raise UsageError(f"--seeds is {args.seeds}, must be 1 to {MAX_SEEDS}")
    if args.model is not None and (args.by or args.seeds > 1 or args.quick or args.backgrounds):
        raise UsageError("--by, --seeds, --background and --quick are for training, which --model replaces")
    if args.model is not None and args.open_set:
        raise UsageError("--open-set trains without each class, which --model leaves no room for")
    check_event_options(args)


def _prepare_page(folder: Path | None) -> Path | None:
    """Where the page of `--report` will be, refused before the work if it cannot be made."""
    from streamgmm.cli.output_file import check_writable, make_folder
    from streamgmm.report.matplotlib_defaults import check_matplotlib

    if folder is None:
        return None
    check_matplotlib()
    make_folder(folder)
    check_writable(folder / PAGE_NAME)
    return folder / PAGE_NAME


def _shorthands(args: argparse.Namespace) -> list[str]:
    """The options that stand for settings, as the settings they stand for."""
    import msgspec

    model = [] if args.model is None else [f"model.path={msgspec.json.encode(args.model).decode()}"]
    return [*model, *(["training.search=false"] if args.quick else [])]
