"""`streamgmm train`: from a folder of recordings to a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamgmm.cli.options import add_background_option, add_config_options, add_fold_option, add_quick_option
from streamgmm.errors import DataError, UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from streamgmm.config import Config
    from streamgmm.model.model import Model
    from streamgmm.training.trainer import Training

_DESCRIPTION = """\
Learn from a folder per class, or a manifest.csv (path,label[,fold,source_id]),
or recordings with labels (DCASE, Audacity). `background` is what to ignore.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `train`."""
    parser = subparsers.add_parser(
        "train",
        help="make a model from a folder of recordings",
        description=_DESCRIPTION,
        usage="%(prog)s -o MODEL [OPTION ...] DATA",
    )
    parser.add_argument("data", metavar="DATA", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", metavar="MODEL", type=Path, required=True, help="file to write, e.g. my.sgm")
    parser.add_argument("--name", help="what the model is called (default: as the file)")
    parser.add_argument(
        "--covariance",
        metavar="SHAPE",
        choices=["diag", "full", "tied", "spherical"],
        help="of the Gaussians: diag, full, tied or spherical",
    )
    parser.add_argument("--components", metavar="N|bic", help="Gaussians per class, or let BIC choose")
    parser.add_argument("--rate", metavar="HZ", help="sample rate of the model (default: of most data)")
    parser.add_argument("--seed", metavar="N", help="same seed and data, same file, byte for byte")
    add_background_option(parser)
    add_quick_option(parser)
    add_fold_option(parser)
    parser.add_argument("--strict", action="store_true", help="refuse what would be left out or only warned of")
    parser.add_argument("--report", metavar="FILE", type=Path, help="write what was learnt and left out, as JSON")
    parser.add_argument("--no-memory", action="store_true", help="keep nothing for `enrol` and `forget`")
    add_config_options(parser)
    parser.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> int:
    from streamgmm.cli.changes import locked
    from streamgmm.cli.output_file import check_writable
    from streamgmm.config_loading import load_config
    from streamgmm.training.enrolment.cache_file import check_cache_target

    config = load_config(args.config, [*_shorthands(args), *args.overrides]).config
    name = _model_name(args)
    check_cache_target(args.output)
    check_writable(args.report)
    with locked(args.output):
        return _train(args, config, name)


def _train(args: argparse.Namespace, config: Config, name: str) -> int:
    from streamgmm.cli.console import RichTrack, make_progress, read_shown, stderr_console
    from streamgmm.cli.output_file import write_json
    from streamgmm.training.enrolment.comparison import scores_in_card
    from streamgmm.training.trainer import train
    from streamgmm.wording import escaped

    console = stderr_console()
    with make_progress(console) as progress:
        options = {"min_clips": config.training.min_clips, "channel": config.source.channel, "is_strict": args.strict}
        dataset = read_shown(args.data, progress, folds=args.folds, backgrounds=args.backgrounds, **options)
        training = train(dataset, config, name=name, is_strict=args.strict, track=RichTrack(progress))
    model, memory_line = _save(training, args.output, has_cache=not args.no_memory)
    if args.report:
        write_json(_report(training, model), args.report)
    _print_summary(training, console)
    accuracy = training.validation.accuracy
    share = scores_in_card(training.model.card).share_of_all
    held_out = "" if accuracy is None else f", {accuracy:.1%} of held-out clips right: {share}"
    size_kib = args.output.stat().st_size / 1024
    console.print(f"wrote {escaped(str(args.output))}: {size_kib:.0f} KiB{held_out}", soft_wrap=True)
    if memory_line:
        console.print(memory_line, soft_wrap=True)
    return 0


def _save(training: Training, output: Path, *, has_cache: bool) -> tuple[Model, str]:
    """Write the model, and beside it what `enrol` and `forget` need; also says what became of that."""
    from streamgmm.training.enrolment.cache_file import cache_path, save_with_cache, save_without_cache
    from streamgmm.training.enrolment.cache_format import CacheFileError
    from streamgmm.training.enrolment.training_cache import make_cache
    from streamgmm.wording import escaped

    if not has_cache:
        return save_without_cache(training.model, output), ""
    has_cepstra = training.model.classifier.cepstra is not None
    memory = make_cache(training.clips, training.task, has_cepstra=has_cepstra)
    try:
        model = save_with_cache(training.model, memory, output)
    except CacheFileError as error:
        # Hours of training are worth more than what could be added to them.
        return save_without_cache(training.model, output), f"warning: `enrol` and `forget` will not do: {error.what}"
    path = cache_path(output)
    return model, f"wrote {escaped(str(path))}: {path.stat().st_size / 2**20:.1f} MiB, for `enrol` and `forget`"


def _model_name(args: argparse.Namespace) -> str:
    """The name of the model, refused or made fit to be one before any work is done for it."""
    from streamgmm.labels import check_label, nearest_label

    if args.name is None:
        return nearest_label(args.output.stem, otherwise="model")
    try:
        return check_label(args.name)
    except DataError as error:
        raise UsageError(f"--name: {error.what}", hint=error.hint) from error


def _print_summary(training: Training, console: Console) -> None:
    from streamgmm.dataset.report import dataset_report

    console.print(dataset_report(training.dataset))
    for note in training.notes:
        console.print(f"note: {note}", soft_wrap=True)
    console.print(classes_learnt(training))


def _shorthands(args: argparse.Namespace) -> list[str]:
    """The options that stand for settings, as the settings they stand for."""
    settings = {
        "training.covariance": args.covariance,
        "training.n_components": args.components,
        "features.sample_rate_hz": args.rate,
        "training.seed": args.seed,
        "training.search": "false" if args.quick else None,
    }
    return [f"{key}={value}" for key, value in settings.items() if value is not None]


def classes_learnt(training: Training) -> Table:
    """A row per class: what it was learnt from, how it is modelled, and how its held-out clips fared."""
    from collections import Counter

    from rich.table import Table
    from rich.text import Text

    from streamgmm.training.enrolment.comparison import scores_in_card

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


def _report(training: Training, model: Model) -> dict[str, Any]:
    """What `--report` writes."""
    from streamgmm.dataset.reasons import count_skipped

    return {
        "model": model.name,
        "sha256": model.sha256,
        "card": model.card,
        "notes": [*training.dataset.notes, *training.notes],
        "warnings": training.dataset.warnings,
        "skipped_files": count_skipped(training.dataset.skipped),
    }
