"""`streamgmm evaluate`: scores on recordings that were not trained on."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
from rich.console import Console

from streamgmm.audio.resample import is_narrow, narrow_band
from streamgmm.cli.clashes import refuse_same_file
from streamgmm.cli.cluster import jobs_on_cluster
from streamgmm.cli.conditions import conditions_of
from streamgmm.cli.console import RichTrack, make_progress, stderr_console, stdout_console
from streamgmm.cli.evaluate_events import check_event_options, run_events
from streamgmm.cli.findings import read_with_progress
from streamgmm.cli.models import load_chosen_model
from streamgmm.cli.output_file import check_writable, make_folder, write_file, write_json
from streamgmm.cli.scores import print_evaluation
from streamgmm.dataset.clips import data_sha256
from streamgmm.dataset.dataset import Dataset, common_rate_hz
from streamgmm.dataset.report import skipped_table
from streamgmm.errors import UsageError
from streamgmm.evaluation.conditions import Conditions
from streamgmm.evaluation.evaluation import cross_validate, score_model
from streamgmm.evaluation.scores import score_trial
from streamgmm.evaluation.trial import Trial
from streamgmm.model.model import Model
from streamgmm.report.matplotlib_defaults import check_matplotlib
from streamgmm.report.page import evaluation_page
from streamgmm.settings.config import Config
from streamgmm.settings.loading import load_config
from streamgmm.wording import escaped

MAX_SEEDS = 1000
_TRAINED_ON_THESE = (
    "the model was trained on these recordings, so its scores do not hold for others; omit --model to cross-validate"
)
PAGE_NAME = "evaluation.html"


def run_evaluate(args: argparse.Namespace) -> int:
    """Cross-validate on a data set, or score a model on it, and print the scores."""
    _check_evaluation_options(args)
    with jobs_on_cluster(args):
        return _evaluate(args)


def _evaluate(args: argparse.Namespace) -> int:
    conditions = conditions_of(args)
    loaded = load_config(args.config, [*_evaluation_overrides(args), *args.overrides])
    model = load_chosen_model(loaded) if args.model is not None else None
    # All outputs are checked before the recordings are read.
    check_writable(args.json)
    if args.events and model is not None:
        return run_events(args, model, loaded.config)
    page = _prepare_page(args.report)
    console = stderr_console()
    trial = _run_trial(args, loaded.config, model, conditions, console)
    evaluation = score_trial(trial)
    if args.json:
        write_json(evaluation, args.json)
    print_evaluation(evaluation, stdout_console())
    if page:
        write_file(evaluation_page(trial, loaded.config).encode(), page)
        console.print(f"page: {escaped(str(page))}", soft_wrap=True)
    return 0


def _run_trial(
    args: argparse.Namespace, config: Config, model: Model | None, conditions: Conditions, console: Console
) -> Trial:
    """Read and classify the recordings with a progress bar, then print warnings and what was left out."""
    with make_progress(console) as progress:
        track = RichTrack(progress)
        # A model that exists can be tried on a single clip.
        min_clips = config.training.min_clips if model is None else 1
        reading = {"min_clips": min_clips, "channel": config.source.channel, "folds": args.folds}
        dataset = read_with_progress(args.data, progress, backgrounds=args.backgrounds, **reading)
        if model is not None:
            trial = score_model(dataset, model, config, conditions=conditions, track=track)
        else:
            options = {"division": args.by or "auto", "n_seeds": args.seeds, "is_open_set": args.open_set}
            # The ablation takes as long as a search, and only the page shows it.
            options["is_ablated"] = args.report is not None and not args.quick
            trial = cross_validate(dataset, config, **options, conditions=conditions, track=track)
    of_model = [] if model is None else _model_warnings(model, dataset)
    for warning in [*trial.dataset.warnings, *of_model]:
        console.print(f"warning: {escaped(warning)}", soft_wrap=True)
    for note in trial.dataset.notes:
        console.print(f"note: {escaped(note)}", soft_wrap=True)
    if trial.dataset.skipped:
        console.print(skipped_table(trial.dataset.skipped))
    return trial


def _model_warnings(model: Model, dataset: Dataset) -> list[str]:
    """Return reasons why the scores of a model on this data set do not hold for other data."""
    seen = [_TRAINED_ON_THESE] if model.card.get("data_sha256") == data_sha256(dataset.clips) else []
    rates_hz = common_rate_hz(dataset), model.spec.sample_rate_hz
    return [*seen, narrow_band(*rates_hz)] if is_narrow(*rates_hz) else seen


def _check_evaluation_options(args: argparse.Namespace) -> None:
    if not 1 <= args.seeds <= MAX_SEEDS:
        raise UsageError(f"--seeds is {args.seeds}, must be 1 to {MAX_SEEDS}")
    if args.model is not None and (args.by or args.seeds > 1 or args.quick or args.backgrounds):
        raise UsageError("--by, --seeds, --background and --quick are for training, which --model replaces")
    if args.model is not None and args.open_set:
        raise UsageError("--open-set trains without each class in turn, which --model replaces")
    check_event_options(args)
    if args.report is not None:
        refuse_same_file({"--json": args.json, "--report": args.report / PAGE_NAME})


def _prepare_page(folder: Path | None) -> Path | None:
    """Return the path of the page of `--report`, and fail before the work if it cannot be written."""
    if folder is None:
        return None
    check_matplotlib()
    make_folder(folder)
    check_writable(folder / PAGE_NAME)
    return folder / PAGE_NAME


def _evaluation_overrides(args: argparse.Namespace) -> list[str]:
    """Return the options that stand for settings as `KEY=VALUE` overrides."""
    # As JSON, which is YAML too: a path remains text, whatever characters it holds.
    model = [] if args.model is None else [f"model.path={msgspec.json.encode(args.model).decode()}"]
    quick = ["training.search=false"] if args.quick else []
    return [*model, *quick, *(["training.cache=false"] if args.no_cache else [])]
