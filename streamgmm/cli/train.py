"""`streamgmm train`: from a folder of recordings to a model."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamgmm.cli.changes import locked
from streamgmm.cli.cluster import jobs_on_cluster
from streamgmm.cli.console import RichTrack, make_progress, stderr_console
from streamgmm.cli.findings import read_with_progress
from streamgmm.cli.output_file import check_writable, write_json
from streamgmm.cli.room_table import room_table
from streamgmm.dataset.reasons import count_skipped
from streamgmm.dataset.report import dataset_report
from streamgmm.errors import DataError, UsageError
from streamgmm.labels import check_label, nearest_label
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.settings.loading import load_config
from streamgmm.training.enrolment.cache_file import cache_path, check_cache_target, save_with_cache, save_without_cache
from streamgmm.training.enrolment.cache_format import CacheFileError
from streamgmm.training.enrolment.comparison import scores_in_card
from streamgmm.training.enrolment.training_cache import make_cache
from streamgmm.training.trainer import Training, train
from streamgmm.wording import escaped


def run_train(args: argparse.Namespace) -> int:
    """Train a model, and write it with its memory."""
    config = load_config(args.config, [*_training_overrides(args), *args.overrides]).config
    name = _model_name(args)
    # Outputs are checked before the training, which may take hours.
    check_cache_target(args.output)
    check_writable(args.report)
    with locked(args.output), jobs_on_cluster(args):
        return _train_and_save(args, config, name)


def _train_and_save(args: argparse.Namespace, config: Config, name: str) -> int:
    console = stderr_console()
    with make_progress(console) as progress:
        options = {"min_clips": config.training.min_clips, "channel": config.source.channel, "is_strict": args.strict}
        dataset = read_with_progress(args.data, progress, folds=args.folds, backgrounds=args.backgrounds, **options)
        training = train(dataset, config, name=name, is_strict=args.strict, track=RichTrack(progress))
    model, memory_line = _save(training, args.output, has_cache=not args.no_memory)
    # After the model is written: the report contains its hash.
    if args.report:
        write_json(_training_report(training, model), args.report)
    _print_training(training, console)
    accuracy = training.validation.accuracy
    share = scores_in_card(training.model.card).share_of_all
    held_out = "" if accuracy is None else f", {accuracy:.1%} of held-out clips right: {share}"
    size_kib = args.output.stat().st_size / 1024
    console.print(f"wrote {escaped(str(args.output))}: {size_kib:.0f} KiB{held_out}", soft_wrap=True)
    if memory_line:
        console.print(memory_line, soft_wrap=True)
    return 0


def _save(training: Training, output: Path, *, has_cache: bool) -> tuple[Model, str]:
    """Write the model and its memory for `enrol` and `forget`; return the model, and a line about the memory."""
    if not has_cache:
        return save_without_cache(training.model, output), ""
    has_cepstra = training.model.classifier.cepstra is not None
    memory = make_cache(training.clips, training.task, has_cepstra=has_cepstra)
    try:
        model = save_with_cache(training.model, memory, output)
    except CacheFileError as error:
        # A memory that cannot be written must not waste hours of training.
        warning = f"warning: `enrol` and `forget` will not work with this model: {error.what}"
        return save_without_cache(training.model, output), warning
    path = cache_path(output)
    return model, f"wrote {escaped(str(path))}: {path.stat().st_size / 2**20:.1f} MiB, for `enrol` and `forget`"


def _model_name(args: argparse.Namespace) -> str:
    """Return the name of the model, checked before any work is done."""
    if args.name is None:
        # A file name may hold characters that a label must not.
        return nearest_label(args.output.stem, otherwise="model")
    try:
        return check_label(args.name)
    except DataError as error:
        raise UsageError(f"--name: {error.what}", hint=error.hint) from error


def _print_training(training: Training, console: Console) -> None:
    console.print(dataset_report(training.dataset))
    for note in training.notes:
        console.print(f"note: {note}", soft_wrap=True)
    console.print(classes_learnt(training))
    if (table := room_table(training.model)) is not None:
        console.print(table)


def _training_overrides(args: argparse.Namespace) -> list[str]:
    """Return the options that stand for settings as `KEY=VALUE` overrides."""
    # Numbers are passed as typed: like those of a file, they are checked with the settings.
    settings = {
        "training.covariance": args.covariance,
        "training.n_components": args.components,
        "features.sample_rate_hz": args.rate,
        "training.seed": args.seed,
        "training.search": "false" if args.quick else None,
        "training.cache": "false" if args.no_cache else None,
    }
    return [f"{key}={value}" for key, value in settings.items() if value is not None]


def classes_learnt(training: Training) -> Table:
    """Return a row per class: its clips, windows, mixture components, and score on held-out clips."""
    scores = scores_in_card(training.model.card)
    n_windows = Counter[str]()
    for clip in training.clips:
        n_windows[clip.clip.label] += len(clip.vectors)
    n_clips = Counter(clip.clip.label for clip in training.clips)
    table = Table("class", title="Learnt")
    for heading in ("clips", "windows", "components", "held-out clips right"):
        table.add_column(heading, justify="right")
    classifier = training.model.classifier
    for label, mixture in zip(classifier.labels, classifier.mixtures, strict=True):
        counts = (n_clips[label], n_windows[label], mixture.n_components)
        table.add_row(Text(label), *map(str, counts), scores.share_of(label))
    return table


def _training_report(training: Training, model: Model) -> dict[str, Any]:
    """Return the content of the `--report` file."""
    return {
        "model": model.name,
        "sha256": model.sha256,
        "card": model.card,
        "notes": [*training.dataset.notes, *training.notes],
        "warnings": training.dataset.warnings,
        "skipped_files": count_skipped(training.dataset.skipped),
    }
